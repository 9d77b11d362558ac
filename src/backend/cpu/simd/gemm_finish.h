#pragma once
#include "kernels/gemm.h"

// What follows the sums of a matrix product. The oneDNN product, which runs only where the avx512
// level is in use, calls it too: free of intrinsics, so that any file may include it.
#define SING_DECLARE_FINISH(LEVEL)                                                     \
  namespace sing::kernels::LEVEL {                                                     \
  void finish_sums(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, \
                   int64_t column, int64_t rows, int64_t n, bool add_old);             \
  }

/// The last look at rows x n finished sums (row stride `stride`): the old value of C when
/// `add_old`, bias, activation and its slope, conversion. The first goes to element c_at of C and
/// column `column` of the bias.
SING_DECLARE_FINISH(avx2)
SING_DECLARE_FINISH(avx512)
