#include "sing/ops/unary.h"

#include "kernels/elementwise.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;
using kernels::UnaryOp;

Tensor unary(const char* name, const Tensor& x_in, UnaryOp op, double a = 0, double b = 0) {
  const backend::OpScope scope(name);
  check_floating(name, x_in);
  const Tensor x = dense(x_in);
  Tensor y = empty_like(x);
  kernels::unary_fwd(x.device().type,
                     {y.mutable_raw(), x.raw(), x.dtype(), op, a, b, x.numel(), {}});
  if (!autograd::will_record({x_in})) return y;
  const Saved saved = op == UnaryOp::affine                 ? Saved()
                      : kernels::derivative_from_output(op) ? Saved(y)
                                                            : Saved(x);
  return autograd::record(name, {x_in}, y, [saved, op, a, b](const Tensor& grad, const Needs&) {
    const Tensor g = saved ? dense_as(grad, *saved) : dense(grad);
    Tensor dx = empty_like(g);
    kernels::unary_bwd(g.device().type, {dx.mutable_raw(),
                                         g.raw(),
                                         saved ? saved->raw() : nullptr,
                                         g.dtype(),
                                         op,
                                         a,
                                         b,
                                         g.numel(),
                                         {}});
    return GradList{dx};
  });
}

}  // namespace

Tensor add_scalar(const Tensor& x, double value) {
  return unary("add_scalar", x, UnaryOp::affine, 1, value);
}
Tensor mul_scalar(const Tensor& x, double value) {
  return unary("mul_scalar", x, UnaryOp::affine, value, 0);
}
Tensor affine(const Tensor& x, double scale, double shift) {
  return unary("affine", x, UnaryOp::affine, scale, shift);
}
Tensor pow(const Tensor& x, double exponent) {
  return unary("pow", x, UnaryOp::pow, exponent);
}
Tensor neg(const Tensor& x) {
  return unary("neg", x, UnaryOp::affine, -1, 0);
}
Tensor abs(const Tensor& x) {
  return unary("abs", x, UnaryOp::abs);
}
Tensor exp(const Tensor& x) {
  return unary("exp", x, UnaryOp::exp);
}
Tensor log(const Tensor& x) {
  return unary("log", x, UnaryOp::log);
}
Tensor sqrt(const Tensor& x) {
  return unary("sqrt", x, UnaryOp::sqrt);
}
Tensor rsqrt(const Tensor& x) {
  return unary("rsqrt", x, UnaryOp::rsqrt);
}
Tensor square(const Tensor& x) {
  return unary("square", x, UnaryOp::square);
}
Tensor reciprocal(const Tensor& x) {
  return unary("reciprocal", x, UnaryOp::reciprocal);
}
Tensor sin(const Tensor& x) {
  return unary("sin", x, UnaryOp::sin);
}
Tensor cos(const Tensor& x) {
  return unary("cos", x, UnaryOp::cos);
}
Tensor erf(const Tensor& x) {
  return unary("erf", x, UnaryOp::erf);
}
Tensor sigmoid(const Tensor& x) {
  return unary("sigmoid", x, UnaryOp::sigmoid);
}
Tensor tanh(const Tensor& x) {
  return unary("tanh", x, UnaryOp::tanh);
}
Tensor relu(const Tensor& x) {
  return unary("relu", x, UnaryOp::relu);
}
Tensor silu(const Tensor& x) {
  return unary("silu", x, UnaryOp::silu);
}
Tensor softplus(const Tensor& x, double beta, double threshold) {
  if (!(beta > 0)) throw ShapeError("softplus: wanted beta above 0; got " + std::to_string(beta));
  return unary("softplus", x, UnaryOp::softplus, beta, threshold);
}
Tensor gelu(const Tensor& x) {
  return unary("gelu", x, UnaryOp::gelu);
}
Tensor gelu_tanh(const Tensor& x) {
  return unary("gelu_tanh", x, UnaryOp::gelu_tanh);
}
Tensor leaky_relu(const Tensor& x, double slope) {
  return unary("leaky_relu", x, UnaryOp::leaky_relu, slope);
}
Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high))
    throw ShapeError("clamp: wanted low <= high; got " + std::to_string(low) + " and " +
                     std::to_string(high));
  return unary("clamp", x, UnaryOp::clamp, low, high);
}

}  // namespace sing::ops
