#include "sing/ops/softmax.h"

#include "kernels/reduce.h"
#include "ops/support.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;

Tensor softmax_over(const char* name, const Tensor& x_in, int dim, bool log) {
  const backend::OpScope scope(name);
  check_floating(name, x_in);
  const Tensor wide = autocast::input(x_in, autocast::Policy::widen);
  const Tensor x = wide.contiguous();
  named_dims(name, x.shape(), {dim});
  const int d = x.shape().normalized(dim);
  const int64_t outer = x.shape().numel_between(0, d), n = x.size(d),
                inner = x.shape().numel_between(d + 1, x.rank());
  Tensor y = empty_like(x);
  kernels::softmax_fwd(x.device().type,
                       {y.mutable_raw(), x.raw(), x.dtype(), log, outer, n, inner, {}});
  if (!autograd::will_record({wide})) return y;
  return autograd::record(
      name, {wide}, y, [y = Saved(y), log, outer, n, inner](const Tensor& grad, const Needs&) {
        const Tensor g = grad.contiguous();
        Tensor dx = empty_like(g);
        kernels::softmax_bwd(
            g.device().type,
            {dx.mutable_raw(), g.raw(), y->raw(), g.dtype(), log, outer, n, inner, {}});
        return GradList{dx};
      });
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  return softmax_over("softmax", x, dim, false);
}
Tensor log_softmax(const Tensor& x, int dim) {
  return softmax_over("log_softmax", x, dim, true);
}

}  // namespace sing::ops
