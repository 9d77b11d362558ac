#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "sing/core/dtype.h"
#include "sing/core/export.h"

namespace sing {

inline constexpr int kMaxRank = 6;

// The only two functions that multiply dimensions (a hygiene test greps for others).
/// Product of the dimensions. Throws ShapeError when a dimension is negative or the product does
/// not fit 63 bits. The product of no dimensions is 1.
SING_API int64_t checked_numel(std::span<const int64_t> dims);
/// numel * size of an element. Throws ShapeError when it does not fit 63 bits.
SING_API int64_t checked_bytes(int64_t numel, DType dtype);

/// Up to six dimensions, inline. Cannot exist with a negative dimension or an overflowing product.
class SING_API Shape {
 public:
  Shape() = default;  ///< rank 0: one element
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t numel() const { return numel_; }
  /// Dimension `i`; negative counts from the end. Throws ShapeError when out of range.
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(normalized(i))]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  /// `i` in 0..rank-1 for i in -rank..rank-1. Throws ShapeError otherwise.
  int normalized(int i) const;
  /// Product of dimensions [first, last).
  int64_t numel_between(int first, int last) const;
  /// A copy with dimension `i` replaced.
  Shape with(int i, int64_t value) const;

  SING_API friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  int64_t numel_ = 1;
};

/// "(8, 197, 384)"; "()" for rank 0.
SING_API std::string to_string(const Shape& shape);
/// Element strides of a dense row-major layout.
SING_API std::array<int64_t, kMaxRank> row_major_strides(const Shape& shape);
/// The shape two operands broadcast to (trailing dimensions aligned, 1 stretches).
/// Throws ShapeError that names `op` and both shapes.
SING_API Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

}  // namespace sing
