#include "sing/ops/gather.h"

#include <algorithm>

#include "kernels/gather.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;
using Dims = std::array<int64_t, kMaxRank>;

Dims padded(std::span<const int64_t> values) {
  Dims dims{};
  std::copy(values.begin(), values.end(), dims.begin());
  return dims;
}

void check_index(const char* op, const Tensor& index) {
  if (index.dtype() != DType::i64 && index.dtype() != DType::i32)
    throw DTypeError(std::string(op) + ": wanted an i64 or i32 index; got " + describe(index));
}

/// index has the shape of the output (strides may be 0).
Tensor gathered(const char* name, const Tensor& x, int d, const Tensor& index) {
  Tensor out = Tensor::empty(index.shape(), {.dtype = x.dtype(), .device = x.device()});
  kernels::gather(x.device().type, {out.mutable_raw(),
                                    x.raw(),
                                    index.raw(),
                                    x.dtype(),
                                    index.dtype(),
                                    x.rank(),
                                    d,
                                    x.size(d),
                                    padded(index.shape().dims()),
                                    padded(out.strides()),
                                    padded(x.strides()),
                                    padded(index.strides()),
                                    {}});
  if (!autograd::will_record({x})) return out;
  return autograd::record(
      name, {x}, out,
      [index = Saved(index), shape = x.shape(), d](const Tensor& grad, const Needs& needs) {
        const Tensor target = needs.target(0);
        const DType wide = grad.dtype() == DType::f64 ? DType::f64 : DType::f32;
        Tensor dx = target.defined()
                        ? target
                        : Tensor::zeros(shape, {.dtype = wide, .device = grad.device()});
        kernels::gather_bwd(grad.device().type, {dx.mutable_raw(),
                                                 grad.raw(),
                                                 index->raw(),
                                                 grad.dtype(),
                                                 dx.dtype(),
                                                 index->dtype(),
                                                 shape.rank(),
                                                 d,
                                                 shape[d],
                                                 padded(index->shape().dims()),
                                                 padded(dx.strides()),
                                                 padded(grad.strides()),
                                                 padded(index->strides()),
                                                 {}});
        return GradList{target.defined() ? Tensor() : dx.to(grad.dtype())};
      });
}

}  // namespace

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  const backend::OpScope scope("gather");
  check_index("gather", index);
  if (x.rank() == 0 || x.rank() != index.rank())
    throw ShapeError("gather: wanted an index of the rank of " + to_string(x.shape()) +
                     ", at least 1; got " + to_string(index.shape()));
  const int d = x.shape().normalized(dim);
  for (int i = 0; i < x.rank(); ++i)
    if (i != d && index.size(i) > x.size(i))
      throw ShapeError("gather: wanted an index within " + to_string(x.shape()) +
                       " except along dimension " + std::to_string(d) + "; got " +
                       to_string(index.shape()));
  return gathered("gather", x, d, index);
}

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  const backend::OpScope scope("index_select");
  check_index("index_select", index);
  if (x.rank() == 0 || index.rank() != 1)
    throw ShapeError("index_select: wanted an index of shape (n) and x of rank 1 or more; got " +
                     to_string(index.shape()) + " and " + to_string(x.shape()));
  const int d = x.shape().normalized(dim);
  Tensor each = index;
  for (int i = d + 1; i < x.rank(); ++i) each = each.unsqueeze(-1);
  return gathered("index_select", x, d, each.expand(x.shape().with(d, index.numel())));
}

}  // namespace sing::ops
