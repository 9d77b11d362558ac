#include "sing/ops/arithmetic.h"

#include "kernels/elementwise.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/ops/unary.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;
using kernels::BinaryOp;

Tensor run_binary(const Tensor& a, const Tensor& b, const Shape& shape, BinaryOp op) {
  Tensor out = empty_elementwise(shape, a.dtype(), {a, b});
  kernels::binary(
      out.device().type,
      {out.mutable_raw(), a.raw(), b.raw(), out.dtype(), op, make_walk<3>({out, a, b}), {}});
  return out;
}

/// grad times the derivative by one side, summed to that side's shape.
Tensor side_gradient(const Tensor& grad, const Tensor& a, const Tensor& b, BinaryOp op, int which,
                     const Tensor& target) {
  const Tensor& side = which == 0 ? a : b;
  Tensor full = empty_elementwise(grad.shape(), grad.dtype(), {grad, a, b});
  kernels::binary_bwd(full.device().type, {full.mutable_raw(),
                                           grad.raw(),
                                           a.raw(),
                                           b.raw(),
                                           full.dtype(),
                                           op,
                                           which,
                                           make_walk<4>({full, grad, a, b}),
                                           {}});
  return side.shape() == full.shape() ? full : sum_to(full, side.shape(), target);
}

Tensor checked_binary(const char* name, Tensor a, Tensor b, BinaryOp op) {
  const backend::OpScope scope(name);
  match_dtypes(name, a, b);
  const bool integral = a.dtype() == DType::i64 || a.dtype() == DType::i32;
  if (!is_floating(a.dtype()) && !(integral && op != BinaryOp::div))
    throw DTypeError(std::string(name) + ": wanted floating tensors" +
                     (op == BinaryOp::div ? "" : ", i64 or i32") + "; got " + describe(a));
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor out = run_binary(a, b, shape, op);
  if (op == BinaryOp::add || op == BinaryOp::sub)
    return autograd::record(
        name, {a, b}, out,
        [sa = a.shape(), sb = b.shape(), op](const Tensor& grad, const Needs& needs) {
          GradList grads(2);
          if (needs[0])
            grads[0] = sum_to(grad, sa, sa == grad.shape() ? Tensor() : needs.target(0));
          if (!needs[1]) return grads;
          if (op == BinaryOp::sub)
            grads[1] = mul_scalar(sum_to(grad, sb), -1);
          else
            grads[1] = sum_to(grad, sb, sb == grad.shape() ? Tensor() : needs.target(1));
          return grads;
        });
  if (!autograd::will_record({a, b})) return out;
  return autograd::record(name, {a, b}, out,
                          [a = Saved(a), b = Saved(b), op](const Tensor& grad, const Needs& needs) {
                            GradList grads(2);
                            for (int which = 0; which < 2; ++which)
                              if (const size_t i = static_cast<size_t>(which); needs[i])
                                grads[i] = side_gradient(grad, *a, *b, op, which, needs.target(i));
                            return grads;
                          });
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return checked_binary("add", a, b, BinaryOp::add);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return checked_binary("sub", a, b, BinaryOp::sub);
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return checked_binary("mul", a, b, BinaryOp::mul);
}
Tensor div(const Tensor& a, const Tensor& b) {
  return checked_binary("div", a, b, BinaryOp::div);
}
Tensor maximum(const Tensor& a, const Tensor& b) {
  return checked_binary("maximum", a, b, BinaryOp::maximum);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return checked_binary("minimum", a, b, BinaryOp::minimum);
}

Tensor div_or_zero(const Tensor& a_in, const Tensor& b_in) {
  const backend::OpScope scope("div_or_zero");
  Tensor a = a_in, b = b_in;
  match_dtypes("div_or_zero", a, b);
  check_floating("div_or_zero", a);
  return run_binary(a, b, broadcast_shapes("div_or_zero", a.shape(), b.shape()),
                    BinaryOp::div_or_zero);
}

}  // namespace sing::ops
