#pragma once
#include <array>
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"
#include "sing/core/shape.h"

namespace sing::kernels {

/// to[i] = convert(from[i]), or to[i] += convert(from[i]), over `rank` dimensions of sizes `dims`;
/// strides in elements. Floating to integer truncates; to boolean is != 0.
struct StridedCopyArgs {
  void* to;
  const void* from;
  DType to_dtype, from_dtype;
  int rank;
  std::array<int64_t, kMaxRank> dims, to_strides, from_strides;
  bool accumulate;
  Stream stream;
};

/// to[0..n) = value, dense.
struct FillArgs {
  void* to;
  DType dtype;
  int64_t n;
  double value;
  Stream stream;
};

SING_DECLARE_SLOT(strided_copy, StridedCopyArgs)
SING_DECLARE_SLOT(fill, FillArgs)

}  // namespace sing::kernels
