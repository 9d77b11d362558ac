#include "sing/core/shape.h"

#include <algorithm>

#include "sing/core/error.h"

namespace sing {

int64_t checked_numel(std::span<const int64_t> dims) {
  int64_t product = 1;
  bool zero = false;
  for (const int64_t dim : dims) {
    if (dim < 0) throw ShapeError("a dimension is negative: " + std::to_string(dim));
    if (dim == 0) {
      zero = true;  // go on: a later negative dimension is still an error
      continue;
    }
    // The product of the other dimensions is checked too, so a zero cannot hide an overflow that
    // strides would run into.
    if (__builtin_mul_overflow(product, dim, &product))
      throw ShapeError("the number of elements does not fit 63 bits");
  }
  return zero ? 0 : product;
}

int64_t checked_bytes(int64_t numel, DType dtype) {
  int64_t bytes = 0;
  if (numel < 0 || __builtin_mul_overflow(numel, static_cast<int64_t>(size_of(dtype)), &bytes))
    throw ShapeError("the number of bytes does not fit 63 bits");
  return bytes;
}

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > static_cast<size_t>(kMaxRank))
    throw ShapeError("a tensor has at most " + std::to_string(kMaxRank) + " dimensions, got " +
                     std::to_string(dims.size()));
  numel_ = checked_numel(dims);
  std::copy(dims.begin(), dims.end(), dims_.begin());
  rank_ = static_cast<int>(dims.size());
}

int Shape::normalized(int i) const {
  const int index = i < 0 ? i + rank_ : i;
  if (index < 0 || index >= rank_)
    throw ShapeError("dimension " + std::to_string(i) + " is out of range for shape " +
                     to_string(*this));
  return index;
}

int64_t Shape::numel_between(int first, int last) const {
  return checked_numel(
      dims().subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)));
}

Shape Shape::with(int i, int64_t value) const {
  std::array<int64_t, kMaxRank> copy = dims_;
  copy[static_cast<size_t>(normalized(i))] = value;
  return Shape(std::span<const int64_t>(copy.data(), static_cast<size_t>(rank_)));
}

bool operator==(const Shape& a, const Shape& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + ")";
}

std::array<int64_t, kMaxRank> row_major_strides(const Shape& shape) {
  std::array<int64_t, kMaxRank> strides{};
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = step;
    step *= std::max<int64_t>(shape[i], 1);  // cannot overflow: checked_numel skips zeros
  }
  return strides;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<int64_t, kMaxRank> dims{};
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1)
      throw ShapeError(std::string(op) + ": shapes " + to_string(a) + " and " + to_string(b) +
                       " do not broadcast: dimension " + std::to_string(i - rank) + " is " +
                       std::to_string(da) + " and " + std::to_string(db));
    dims[static_cast<size_t>(i)] = da == 1 ? db : da;
  }
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank)));
}

}  // namespace sing
