#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>

namespace sing::backend {

/// Where every block of an arena begins.
inline constexpr size_t kBlockAlignment = 256;

/// The class of block sizes that `bytes` belong to: 256, 512, 768, 1024, then four sizes per power
/// of two.
inline size_t class_of(size_t bytes) {
  if (bytes <= kBlockAlignment) return kBlockAlignment;
  const size_t step = std::max(kBlockAlignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

}  // namespace sing::backend
