#pragma once
#include <array>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"
#include "sing/core/shape.h"

namespace sing::kernels {

/// out[..., i, ...] = x[..., index[..., i, ...], ...] along dimension `dim`; `dims` are those of
/// out; strides in elements. Throws DataError for an index outside 0..extent-1 (the CPU does).
struct GatherArgs {
  void* out;
  const void* x;
  const void* index;
  DType dtype, index_dtype;
  int rank, dim;
  int64_t extent;  ///< size of x along dim
  std::array<int64_t, kMaxRank> dims, out_strides, x_strides, index_strides;
  Stream stream;
};

/// dx[..., index, ...] += grad. Several indices may name one element: they are added in the order
/// of the index, so the result is the same every time.
struct GatherBackwardArgs {
  void* dx;
  const void* grad;
  const void* index;
  DType dtype, dx_dtype, index_dtype;
  int rank, dim;
  int64_t extent;
  std::array<int64_t, kMaxRank> dims, dx_strides, grad_strides, index_strides;
  Stream stream;
};

SING_DECLARE_SLOT(gather, GatherArgs)
SING_DECLARE_SLOT(gather_bwd, GatherBackwardArgs)

}  // namespace sing::kernels
