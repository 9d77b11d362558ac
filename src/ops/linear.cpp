#include "sing/ops/linear.h"

#include "kernels/gemm.h"
#include "ops/op_checks.h"
#include "ops/target.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"

namespace sing::ops {
namespace {

using kernels::Epilogue;

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return Epilogue::relu;
    case Activation::gelu:
      return Epilogue::gelu;
    case Activation::gelu_tanh:
      return Epilogue::gelu_tanh;
    case Activation::none:
      break;
  }
  return Epilogue::none;
}

/// c (m x n) = or += a b for whole tensors; strides of a and b as given.
void product(Tensor& c, const Tensor& a, int64_t a_row, int64_t a_col, const Tensor& b,
             int64_t b_row, int64_t b_col, int64_t m, int64_t n, int64_t k, bool accumulate) {
  kernels::GemmArgs g{};
  g.a = a.raw();
  g.b = b.raw();
  g.c = c.mutable_raw();
  g.dtype = a.dtype();
  g.c_dtype = c.dtype();
  g.m = m;
  g.n = n;
  g.k = k;
  g.a_row = a_row;
  g.a_col = a_col;
  g.b_row = b_row;
  g.b_col = b_col;
  g.c_row = n;
  g.accumulate = accumulate;
  backend::note_flops(2.0 * static_cast<double>(m) * static_cast<double>(n) *
                      static_cast<double>(k));
  kernels::gemm(a.device().type, g);
}

struct Sizes {
  int64_t rows, in, out;
};

/// Passes the gradient through the activation and sums it over rows for the bias. Returns what the
/// two products need; `grad` itself without an activation.
Tensor before_activation(const Tensor& grad, Tensor kept, Epilogue epilogue, const Sizes& size,
                         Tensor& bias_grad, bool accumulate) {
  if (epilogue == Epilogue::none && !bias_grad.defined()) return grad;
  kernels::ActivationGradArgs a{};
  // The slope is ours alone and has done its work once it is multiplied: the result replaces it.
  // ReLU's output belongs to others.
  Tensor grad_pre = epilogue == Epilogue::relu ? empty_like(grad) : kept;
  a.grad = grad.raw();
  a.kept = kept.defined() ? kept.raw() : nullptr;
  a.grad_pre = grad_pre.defined() ? grad_pre.mutable_raw() : nullptr;
  a.bias_grad = bias_grad.defined() ? bias_grad.mutable_raw() : nullptr;
  a.dtype = grad.dtype();
  a.bias_grad_dtype = bias_grad.defined() ? bias_grad.dtype() : grad.dtype();
  a.accumulate = accumulate;
  a.epilogue = epilogue;
  a.m = size.rows;
  a.n = size.out;
  kernels::activation_grad(grad.device().type, a);
  return grad_pre.defined() ? grad_pre : grad;
}

}  // namespace

Tensor linear(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in,
              Activation activation) {
  const backend::OpScope scope("linear");
  // 1 policy, checks, layout
  const Tensor x = autocast::input(x_in, autocast::Policy::lower);
  const Tensor weight = autocast::input(weight_in, autocast::Policy::lower);
  const Tensor bias = autocast::input(bias_in, autocast::Policy::lower);
  check_one_floating_dtype("linear", {{"x", x}, {"weight", weight}, {"bias", bias}});
  if (x.rank() < 1) throw ShapeError("linear: x must be (..., in); got ()");
  const int64_t in = x.size(-1);
  if (weight.rank() != 2 || weight.size(1) != in)
    throw ShapeError("linear: weight must be (out, " + std::to_string(in) +
                     ") to match the last dimension of x " + to_string(x.shape()) + "; got " +
                     to_string(weight.shape()));
  const Sizes size{x.shape().numel_between(0, x.rank() - 1), in, weight.size(0)};
  check_vector("linear", "bias", bias, size.out);
  const Tensor rows = x.contiguous(), columns = bias.defined() ? bias.contiguous() : bias;

  // 2 outputs; GELU leaves its slope for the way back, ReLU needs its own result
  const Epilogue epilogue = epilogue_of(activation);
  const bool recording = autograd::will_record({x, weight, bias});
  const TensorOptions options{.dtype = x.dtype(), .device = x.device()};
  Tensor y = Tensor::empty(x.shape().with(-1, size.out), options);
  Tensor slope;
  if (recording && epilogue != Epilogue::none && epilogue != Epilogue::relu)
    slope = Tensor::empty(y.shape(), options);

  // 3 run
  kernels::GemmArgs g{};
  g.a = rows.raw();
  g.b = weight.raw();
  g.c = y.mutable_raw();
  g.dtype = g.c_dtype = x.dtype();
  g.m = size.rows;
  g.n = size.out;
  g.k = size.in;
  g.a_row = size.in;
  g.a_col = 1;
  g.b_row = weight.stride(1);
  g.b_col = weight.stride(0);
  g.c_row = size.out;
  g.epilogue = epilogue;
  g.bias = columns.defined() ? columns.raw() : nullptr;
  g.slope = slope.defined() ? slope.mutable_raw() : nullptr;
  backend::note_flops(2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                      static_cast<double>(g.k));
  kernels::gemm(x.device().type, g);
  if (!recording) return y;

  // 4 the way back
  using autograd::Saved;
  const Tensor kept = epilogue == Epilogue::relu ? y : slope;
  return autograd::record(
      "linear", {x, weight, bias}, y,
      [rows = Saved(rows), weight = Saved(weight), kept = kept.defined() ? Saved(kept) : Saved(),
       bias_like = bias.defined() ? bias.detach() : Tensor(), epilogue,
       size](const Tensor& grad_in, const autograd::Needs& needs) {
        const Tensor grad = grad_in.contiguous();
        Target bias_grad(needs, 2, bias_like);
        Target weight_grad(needs, 1, *weight);
        Target x_grad(needs, 0, *rows);
        const Tensor grad_pre = before_activation(grad, kept ? *kept : Tensor(), epilogue, size,
                                                  bias_grad.tensor, bias_grad.accumulate);
        if (weight_grad.tensor.defined())
          product(weight_grad.tensor, grad_pre, 1, size.out, *rows, size.in, 1, size.out, size.in,
                  size.rows, weight_grad.accumulate);
        if (x_grad.tensor.defined())
          product(x_grad.tensor, grad_pre, size.out, 1, *weight, weight->stride(0),
                  weight->stride(1), size.rows, size.in, size.out, x_grad.accumulate);
        return autograd::GradList{x_grad.result(), weight_grad.result(), bias_grad.result()};
      });
}

}  // namespace sing::ops
