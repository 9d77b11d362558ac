#pragma once
// Checks that losses, lookups and image ops share. Each throws a message that starts with the op.
#include <string>

#include "sing/core/error.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

inline void check_floating(const char* op, const char* name, const Tensor& t) {
  if (!is_floating(t.dtype()))
    throw DTypeError(std::string(op) + ": " + name + " must be floating; got " + describe(t));
}

inline void check_index(const char* op, const char* name, const Tensor& t) {
  if (t.dtype() != DType::i64 && t.dtype() != DType::i32)
    throw DTypeError(std::string(op) + ": " + name + " must be i64 or i32; got " + describe(t));
}

inline void check_same_dtype(const char* op, const Tensor& a, const char* name, const Tensor& b) {
  if (a.dtype() != b.dtype())
    throw DTypeError(std::string(op) + ": " + name + " must be " + std::string(name_of(a.dtype())) +
                     " like the first input; got " + describe(b));
}

inline void check_rank4(const char* op, const Tensor& x) {
  if (x.rank() != 4)
    throw ShapeError(std::string(op) + ": x must be (N, C, H, W); got " + to_string(x.shape()));
}

/// Output size of a sliding window along one side; throws when no window fits.
inline int64_t window_count(const char* op, int64_t size, int64_t kernel, int64_t stride,
                            int64_t padding, int64_t dilation = 1) {
  if (kernel < 1 || stride < 1 || padding < 0 || dilation < 1)
    throw ShapeError(std::string(op) +
                     ": wanted kernel, stride and dilation of at least 1 and padding of at least "
                     "0; got " +
                     std::to_string(kernel) + ", " + std::to_string(stride) + ", " +
                     std::to_string(dilation) + " and " + std::to_string(padding));
  // Bounded so that the sums below cannot overflow.
  constexpr int64_t kLargest = int64_t{1} << 30;
  if (size > kLargest || kernel > kLargest || stride > kLargest || padding > kLargest ||
      dilation > kLargest)
    throw ShapeError(std::string(op) + ": sizes above 2^30 are not supported");
  const int64_t reach = dilation * (kernel - 1) + 1;
  if (size + 2 * padding < reach)
    throw ShapeError(std::string(op) + ": a window of " + std::to_string(reach) +
                     " does not fit into " + std::to_string(size) + " with padding " +
                     std::to_string(padding));
  return (size + 2 * padding - reach) / stride + 1;
}

/// Losses are f32 for narrower inputs.
inline DType loss_dtype_of(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace sing::ops
