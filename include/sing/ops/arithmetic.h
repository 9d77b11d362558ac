#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

// Element by element with broadcasting (trailing dimensions aligned, 1 stretches): ShapeError names
// both shapes. Both of one dtype, else DTypeError; under autocast floating operands of different
// dtype are brought to the wider one. Floating, i64 or i32 (div: floating). Gradients of a
// broadcast operand are summed back to its shape.
SING_API Tensor add(const Tensor& a, const Tensor& b);
SING_API Tensor sub(const Tensor& a, const Tensor& b);
SING_API Tensor mul(const Tensor& a, const Tensor& b);
SING_API Tensor div(const Tensor& a, const Tensor& b);
/// NaN in either is NaN; on a tie each side gets half of the gradient.
SING_API Tensor maximum(const Tensor& a, const Tensor& b);
SING_API Tensor minimum(const Tensor& a, const Tensor& b);

// x floating; the scalar is rounded to f32 unless x is f64.
SING_API Tensor add_scalar(const Tensor& x, double value);
SING_API Tensor mul_scalar(const Tensor& x, double value);
/// scale * x + shift, in one pass.
SING_API Tensor affine(const Tensor& x, double scale, double shift);
/// x ^ exponent; the derivative of x^0 is 0 everywhere.
SING_API Tensor pow(const Tensor& x, double exponent);

/// a / b, 0 where b is 0; not recorded on the tape (for backward functions).
SING_API Tensor div_or_zero(const Tensor& a, const Tensor& b);

}  // namespace sing::ops

namespace sing {

// Found by argument-dependent lookup.
inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return ops::add(a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return ops::sub(a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return ops::mul(a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return ops::div(a, b);
}
inline Tensor operator+(const Tensor& x, double value) {
  return ops::add_scalar(x, value);
}
inline Tensor operator+(double value, const Tensor& x) {
  return ops::add_scalar(x, value);
}
inline Tensor operator-(const Tensor& x, double value) {
  return ops::add_scalar(x, -value);
}
inline Tensor operator-(double value, const Tensor& x) {
  return ops::affine(x, -1, value);
}
inline Tensor operator*(const Tensor& x, double value) {
  return ops::mul_scalar(x, value);
}
inline Tensor operator*(double value, const Tensor& x) {
  return ops::mul_scalar(x, value);
}
inline Tensor operator/(const Tensor& x, double value) {
  return ops::mul_scalar(x, 1 / value);
}
inline Tensor operator-(const Tensor& x) {
  return ops::mul_scalar(x, -1);
}

}  // namespace sing
