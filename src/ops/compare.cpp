#include "sing/ops/compare.h"

#include "kernels/elementwise.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;
using kernels::CompareOp;

Tensor compared(const char* name, Tensor a, Tensor b, CompareOp op) {
  const backend::OpScope scope(name);
  match_dtypes(name, a, b);
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor out = empty_elementwise(shape, DType::boolean, {a, b});
  kernels::compare(
      out.device().type,
      {out.mutable_data<bool>(), a.raw(), b.raw(), a.dtype(), op, make_walk<3>({out, a, b}), {}});
  return out;
}

void check_boolean(const char* name, const Tensor& x) {
  if (x.dtype() != DType::boolean)
    throw DTypeError(std::string(name) + ": wanted a boolean tensor; got " + describe(x));
}

Tensor logical(const char* name, const Tensor& a, const Tensor& b, CompareOp op) {
  check_boolean(name, a);
  check_boolean(name, b);
  return compared(name, a, b, op);
}

/// Operands broadcast to `shape`.
Tensor run_where(const Tensor& condition, const Tensor& a, const Tensor& b, const Shape& shape) {
  Tensor out = empty_elementwise(shape, a.dtype(), {a, b});
  kernels::where(out.device().type, {out.mutable_raw(),
                                     condition.data<bool>(),
                                     a.raw(),
                                     b.raw(),
                                     a.dtype(),
                                     make_walk<4>({out, condition, a, b}),
                                     {}});
  return out;
}

}  // namespace

Tensor eq(const Tensor& a, const Tensor& b) {
  return compared("eq", a, b, CompareOp::equal);
}
Tensor ne(const Tensor& a, const Tensor& b) {
  return compared("ne", a, b, CompareOp::not_equal);
}
Tensor lt(const Tensor& a, const Tensor& b) {
  return compared("lt", a, b, CompareOp::less);
}
Tensor le(const Tensor& a, const Tensor& b) {
  return compared("le", a, b, CompareOp::less_equal);
}
Tensor gt(const Tensor& a, const Tensor& b) {
  return compared("gt", a, b, CompareOp::greater);
}
Tensor ge(const Tensor& a, const Tensor& b) {
  return compared("ge", a, b, CompareOp::greater_equal);
}
Tensor logical_and(const Tensor& a, const Tensor& b) {
  return logical("logical_and", a, b, CompareOp::logical_and);
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return logical("logical_or", a, b, CompareOp::logical_or);
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  return logical("logical_xor", a, b, CompareOp::logical_xor);
}
Tensor logical_not(const Tensor& x) {
  const backend::OpScope scope("logical_not");
  return logical("logical_not", x,
                 Tensor::full({}, 1, {.dtype = DType::boolean, .device = x.device()}),
                 CompareOp::logical_xor);
}

Tensor where(const Tensor& condition, const Tensor& a_in, const Tensor& b_in) {
  const backend::OpScope scope("where");
  check_boolean("where", condition);
  Tensor a = a_in, b = b_in;
  match_dtypes("where", a, b);
  const Shape shape =
      broadcast_shapes("where", broadcast_shapes("where", condition.shape(), a.shape()), b.shape());
  Tensor out = run_where(condition, a, b, shape);
  if (!autograd::will_record({a, b})) return out;
  return autograd::record(
      "where", {a, b}, out,
      [condition = Saved(condition), sa = a.shape(), sb = b.shape()](const Tensor& grad,
                                                                     const Needs& needs) {
        const Tensor zero = Tensor::zeros({}, {.dtype = grad.dtype(), .device = grad.device()});
        GradList grads(2);
        if (needs[0]) grads[0] = sum_to(run_where(*condition, grad, zero, grad.shape()), sa);
        if (needs[1]) grads[1] = sum_to(run_where(*condition, zero, grad, grad.shape()), sb);
        return grads;
      });
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  const backend::OpScope scope("masked_fill");
  check_boolean("masked_fill", mask);
  if (broadcast_shapes("masked_fill", x.shape(), mask.shape()) != x.shape())
    throw ShapeError("masked_fill: wanted a mask that broadcasts to " + to_string(x.shape()) +
                     "; got " + to_string(mask.shape()));
  return where(mask, Tensor::full({}, value, {.dtype = x.dtype(), .device = x.device()}), x);
}

}  // namespace sing::ops
