#include "sing/ops/feed_forward.h"

#include "ops/affine.h"
#include "ops/op_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

using autograd::Saved;
using kernels::Epilogue;

Saved saved(const Tensor& t) {
  return t.defined() ? Saved(t) : Saved();
}

void check_sizes(const Tensor& x, const Tensor& w1, const Tensor& b1, const Tensor& w2,
                 const Tensor& b2) {
  check_one_floating_dtype("feed_forward",
                           {{"x", x}, {"w1", w1}, {"b1", b1}, {"w2", w2}, {"b2", b2}});
  if (x.rank() < 1) throw ShapeError("feed_forward: x must be (..., in); got ()");
  if (w1.rank() != 2 || w1.size(1) != x.size(-1))
    throw ShapeError("feed_forward: w1 must be (hidden, " + std::to_string(x.size(-1)) +
                     ") to match the last dimension of x " + to_string(x.shape()) + "; got " +
                     to_string(w1.shape()));
  if (w2.rank() != 2 || w2.size(1) != w1.size(0))
    throw ShapeError("feed_forward: w2 must be (out, " + std::to_string(w1.size(0)) +
                     ") to match the rows of w1 " + to_string(w1.shape()) + "; got " +
                     to_string(w2.shape()));
  check_vector("feed_forward", "b1", b1, w1.size(0));
  check_vector("feed_forward", "b2", b2, w2.size(0));
}

}  // namespace

Tensor feed_forward(const Tensor& x_in, const Tensor& w1_in, const Tensor& b1_in,
                    const Tensor& w2_in, const Tensor& b2_in, Activation activation) {
  const backend::OpScope scope("feed_forward");
  // 1 policy, checks, layout
  const Tensor x = autocast::input(x_in, autocast::Policy::lower);
  const Tensor w1 = autocast::input(w1_in, autocast::Policy::lower);
  const Tensor b1 = autocast::input(b1_in, autocast::Policy::lower);
  const Tensor w2 = autocast::input(w2_in, autocast::Policy::lower);
  const Tensor b2 = autocast::input(b2_in, autocast::Policy::lower);
  check_sizes(x, w1, b1, w2, b2);
  const int64_t rows = x.shape().numel_between(0, x.rank() - 1);
  const AffineSizes first{rows, x.size(-1), w1.size(0)}, second{rows, w1.size(0), w2.size(0)};
  const Tensor dense_x = x.contiguous();
  const auto dense = [](const Tensor& bias) { return bias.defined() ? bias.contiguous() : bias; };

  // 2 outputs; what the activation leaves is needed only when gradients go below it
  const Epilogue epilogue = epilogue_of(activation);
  const TensorOptions options{.dtype = x.dtype(), .device = x.device()};
  Tensor hidden = Tensor::empty(x.shape().with(-1, first.out), options);
  Tensor y = Tensor::empty(x.shape().with(-1, second.out), options);
  Tensor slope, no_slope;
  if (keeps_slope(epilogue) && autograd::will_record({x, w1, b1}))
    slope = Tensor::empty(hidden.shape(), options);

  // 3 run
  affine(hidden, dense_x, w1, dense(b1), epilogue, slope, first);
  affine(y, hidden, w2, dense(b2), Epilogue::none, no_slope, second);
  if (!autograd::will_record({x, w1, b1, w2, b2})) return y;

  // 4 the way back
  const Tensor kept = epilogue == Epilogue::relu ? hidden : slope;
  const auto like = [](const Tensor& bias) { return bias.defined() ? bias.detach() : Tensor(); };
  return autograd::record(
      "feed_forward", {x, w1, b1, w2, b2}, y,
      [x = Saved(dense_x), w1 = Saved(w1), b1 = like(b1), w2 = Saved(w2), b2 = like(b2),
       hidden = Saved(hidden), kept = saved(kept), epilogue, first,
       second](const Tensor& grad_in, const autograd::Needs& needs) mutable {
        const Tensor grad = grad_in.contiguous();
        Target b2_grad(needs, 4, b2), w2_grad(needs, 3, *w2);
        affine_weight_grad(w2_grad, b2_grad, grad, *hidden, second);
        hidden = Saved();  // its memory serves what follows
        Target b1_grad(needs, 2, b1), w1_grad(needs, 1, *w1), x_grad(needs, 0, *x);
        if (needs[0] || needs[1] || needs[2]) {
          Target hidden_grad;  // before the activation
          hidden_grad.tensor = Tensor::empty(grad.shape().with(-1, first.out),
                                             {.dtype = grad.dtype(), .device = grad.device()});
          if (epilogue == Epilogue::none) {
            affine_input_grad(hidden_grad, grad, *w2, second);
            affine_weight_grad(w1_grad, b1_grad, hidden_grad.tensor, *x, first);
          } else {
            Target nothing;  // b1's gradient comes out of the pass through the activation
            affine_input_grad_through(hidden_grad.tensor, grad, *w2, second, epilogue, *kept,
                                      b1_grad);
            affine_weight_grad(w1_grad, nothing, hidden_grad.tensor, *x, first);
          }
          affine_input_grad(x_grad, hidden_grad.tensor, *w1, first);
        }
        return autograd::GradList{x_grad.result(), w1_grad.result(), b1_grad.result(),
                                  w2_grad.result(), b2_grad.result()};
      });
}

}  // namespace sing::ops
