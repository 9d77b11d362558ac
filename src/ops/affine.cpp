#include "ops/affine.h"

#include "sing/backend/profile.h"

namespace sing::ops {
namespace {

using kernels::Epilogue;
using kernels::GemmArgs;

/// C (m x n) = A B for whole tensors; strides of A and B, and what follows, are the caller's.
GemmArgs product(const Tensor& a, const Tensor& b, Tensor& c, int64_t m, int64_t n, int64_t k) {
  GemmArgs g{};
  g.a = a.raw();
  g.b = b.raw();
  g.c = c.mutable_raw();
  g.dtype = a.dtype();
  g.c_dtype = c.dtype();
  g.m = m;
  g.n = n;
  g.k = k;
  g.c_row = n;
  return g;
}

/// grad weight, rows x in.
GemmArgs input_product(Tensor& c, const Tensor& grad, const Tensor& weight,
                       const AffineSizes& size) {
  GemmArgs g = product(grad, weight, c, size.rows, size.in, size.out);
  g.a_row = size.out;
  g.a_col = 1;
  g.b_row = weight.stride(0);
  g.b_col = weight.stride(1);
  return g;
}

void add_bias_grad(GemmArgs& g, Target& bias_grad, DType otherwise) {
  g.bias_grad = bias_grad.data();
  g.bias_grad_dtype = bias_grad.tensor.defined() ? bias_grad.tensor.dtype() : otherwise;
  g.bias_grad_accumulate = bias_grad.accumulate;
}

void run(DeviceType device, const GemmArgs& g) {
  backend::note_flops(2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                      static_cast<double>(g.k));
  kernels::gemm(device, g);
}

}  // namespace

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

void affine(Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias, Epilogue epilogue,
            Tensor& slope, const AffineSizes& size) {
  GemmArgs g = product(x, weight, y, size.rows, size.out, size.in);
  g.a_row = size.in;
  g.a_col = 1;
  g.b_row = weight.stride(1);
  g.b_col = weight.stride(0);
  g.epilogue = epilogue;
  g.bias = bias.defined() ? bias.raw() : nullptr;
  g.slope = slope.defined() ? slope.mutable_raw() : nullptr;
  run(x.device().type, g);
}

void affine_weight_grad(Target& weight_grad, Target& bias_grad, const Tensor& grad, const Tensor& x,
                        const AffineSizes& size) {
  if (weight_grad.tensor.defined()) {
    GemmArgs g = product(grad, x, weight_grad.tensor, size.out, size.in, size.rows);
    g.a_row = 1;
    g.a_col = size.out;
    g.b_row = size.in;
    g.b_col = 1;
    g.accumulate = weight_grad.accumulate;
    add_bias_grad(g, bias_grad, grad.dtype());
    run(grad.device().type, g);
  } else if (bias_grad.tensor.defined()) {
    kernels::ActivationGradArgs a{};
    a.grad = grad.raw();
    a.bias_grad = bias_grad.data();
    a.dtype = grad.dtype();
    a.bias_grad_dtype = bias_grad.tensor.dtype();
    a.accumulate = bias_grad.accumulate;
    a.epilogue = Epilogue::none;
    a.m = size.rows;
    a.n = size.out;
    kernels::activation_grad(grad.device().type, a);
  }
}

void affine_input_grad(Target& x_grad, const Tensor& grad, const Tensor& weight,
                       const AffineSizes& size) {
  if (!x_grad.tensor.defined()) return;
  GemmArgs g = input_product(x_grad.tensor, grad, weight, size);
  g.accumulate = x_grad.accumulate;
  run(grad.device().type, g);
}

void affine_input_grad_through(Tensor& before, const Tensor& grad, const Tensor& weight,
                               const AffineSizes& size, Epilogue epilogue, const Tensor& kept,
                               Target& bias_grad) {
  GemmArgs g = input_product(before, grad, weight, size);
  g.epilogue = epilogue;
  g.kept = kept.raw();
  add_bias_grad(g, bias_grad, before.dtype());
  run(grad.device().type, g);
}

}  // namespace sing::ops
