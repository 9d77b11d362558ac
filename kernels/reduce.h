#pragma once
#include <array>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"
#include "sing/core/shape.h"

namespace sing::kernels {

enum class ReduceOp : uint8_t { sum, norm, max, min, any, all };

/// One number per kept index from all reduced indices of x; strides in elements. Kept dimensions
/// are in the order of `out`, which is dense; reduced ones in row-major order of x. Neighbours are
/// merged; both lists may be empty (one element).
///
/// sum: scale * sum x. norm: sqrt(sum x^2). Sums are taken in f64, or in f32 with f64 partial sums.
/// max, min: NaN wins. any, all: of x != 0. `out` += instead of = where `accumulate` (sum only).
struct ReduceArgs {
  void* out;           ///< may be nullptr when only positions are wanted
  int64_t* positions;  ///< max, min: number of the first extremum among the reduced; or nullptr
  const void* x;
  DType dtype, out_dtype;
  ReduceOp op;
  double scale;
  bool accumulate;
  int kept_rank, reduced_rank;
  std::array<int64_t, kMaxRank> kept_dims, kept_strides, reduced_dims, reduced_strides;
  Stream stream;
};

/// dx (dense, shaped as ReduceArgs::x, zero before) gets grad[k] at the positions[k]-th reduced
/// element of kept index k. Strides are those of dx.
struct ReduceSelectBackwardArgs {
  void* dx;
  const void* grad;  ///< dense
  const int64_t* positions;
  DType dtype;
  int kept_rank, reduced_rank;
  std::array<int64_t, kMaxRank> kept_dims, kept_strides, reduced_dims, reduced_strides;
  Stream stream;
};

/// Over the middle of (outer, n, inner), dense: softmax, or its logarithm.
struct SoftmaxArgs {
  void* y;
  const void* x;
  DType dtype;
  bool log;
  int64_t outer, n, inner;
  Stream stream;
};

/// dx = y (grad - sum grad y) for softmax, grad - exp(y) sum grad for its logarithm.
struct SoftmaxBackwardArgs {
  void* dx;
  const void *grad, *y;
  DType dtype;
  bool log;
  int64_t outer, n, inner;
  Stream stream;
};

SING_DECLARE_SLOT(reduce, ReduceArgs)
SING_DECLARE_SLOT(reduce_select_bwd, ReduceSelectBackwardArgs)
SING_DECLARE_SLOT(softmax_fwd, SoftmaxArgs)
SING_DECLARE_SLOT(softmax_bwd, SoftmaxBackwardArgs)

}  // namespace sing::kernels
