#pragma once
#include "kernels/walk.h"
#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

enum class UnaryOp : uint8_t {
  affine,  ///< a * x + b
  abs,
  exp,
  log,
  sqrt,
  rsqrt,
  square,
  reciprocal,
  sin,
  cos,
  erf,
  sigmoid,
  tanh,
  relu,
  silu,
  softplus,  ///< log(1 + exp(a x)) / a; x where a x > b
  gelu,
  gelu_tanh,
  leaky_relu,  ///< slope a below zero
  clamp,       ///< to [a, b]
  pow,         ///< x ^ a
};

/// Whether the derivative is taken from the output (else from the input).
constexpr bool derivative_from_output(UnaryOp op) {
  return op == UnaryOp::exp || op == UnaryOp::sqrt || op == UnaryOp::rsqrt ||
         op == UnaryOp::reciprocal || op == UnaryOp::sigmoid || op == UnaryOp::tanh ||
         op == UnaryOp::relu;
}

/// y[0..n) = op(x[0..n)), dense; a floating dtype.
struct UnaryArgs {
  void* y;
  const void* x;
  DType dtype;
  UnaryOp op;
  double a, b;
  int64_t n;
  Stream stream;
};

/// dx[0..n) = grad * derivative, dense. `saved` is the output or the input
/// (derivative_from_output); not read for affine.
struct UnaryBackwardArgs {
  void* dx;
  const void* grad;
  const void* saved;
  DType dtype;
  UnaryOp op;
  double a, b;
  int64_t n;
  Stream stream;
};

enum class BinaryOp : uint8_t { add, sub, mul, div, maximum, minimum, div_or_zero };

/// out = op(a, b); walk operands: out, a, b. div and div_or_zero (0 where b is 0) are floating
/// only, the others i32 and i64 as well. A NaN in either input stays a NaN.
struct BinaryArgs {
  void* out;
  const void *a, *b;
  DType dtype;
  BinaryOp op;
  Walk<3> walk;
  Stream stream;
};

/// out = grad times the derivative by a (`which` 0) or b (`which` 1), for mul, div, maximum and
/// minimum (half of grad on a tie); walk operands: out, grad, a, b.
struct BinaryBackwardArgs {
  void* out;
  const void *grad, *a, *b;
  DType dtype;
  BinaryOp op;
  int which;
  Walk<4> walk;
  Stream stream;
};

enum class CompareOp : uint8_t {
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  logical_and,
  logical_or,
  logical_xor
};

/// out (boolean) = a op b for any one dtype of a and b (non-zero is true for the logical ones);
/// walk operands: out, a, b.
struct CompareArgs {
  bool* out;
  const void *a, *b;
  DType dtype;
  CompareOp op;
  Walk<3> walk;
  Stream stream;
};

/// out = condition ? a : b for any dtype; walk operands: out, condition, a, b.
struct WhereArgs {
  void* out;
  const bool* condition;
  const void *a, *b;
  DType dtype;
  Walk<4> walk;
  Stream stream;
};

SING_DECLARE_SLOT(unary_fwd, UnaryArgs)
SING_DECLARE_SLOT(unary_bwd, UnaryBackwardArgs)
SING_DECLARE_SLOT(binary, BinaryArgs)
SING_DECLARE_SLOT(binary_bwd, BinaryBackwardArgs)
SING_DECLARE_SLOT(compare, CompareArgs)
SING_DECLARE_SLOT(where, WhereArgs)

}  // namespace sing::kernels
