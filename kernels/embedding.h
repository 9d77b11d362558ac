#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

/// y[i, :] = weight[indices[i], :]. An index outside 0..rows-1 throws DataError E0305.
struct EmbeddingFwdArgs {
  const void* weight;   ///< [rows, width], dense
  const void* indices;  ///< [n]
  void* y;              ///< [n, width], dense
  DType dtype, index_dtype;
  int64_t n, rows, width;
  Stream stream;
};

/// grad_weight[r, :] += sum over i with indices[i] == r of grad_y[i, :], in the order of i, summed
/// in f64 and rounded once. Row padding_idx (-1: none) is left alone.
struct EmbeddingBwdArgs {
  const void* grad_y;
  const void* indices;
  void* grad_weight;   ///< [rows, width], dense; added to
  int64_t* row_start;  ///< [rows + 1] workspace
  int64_t* positions;  ///< [n] workspace: positions sorted by row
  DType dtype, index_dtype, grad_dtype;
  int64_t n, rows, width, padding_idx;
  Stream stream;
};

SING_DECLARE_SLOT(embedding_fwd, EmbeddingFwdArgs)
SING_DECLARE_SLOT(embedding_bwd, EmbeddingBwdArgs)

}  // namespace sing::kernels
