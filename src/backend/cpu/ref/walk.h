#pragma once
// Rows of a Walk, in parallel; chunk borders depend on the sizes only.
#include <algorithm>

#include "kernels/walk.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::cpu {

/// Calls row(offsets, steps, n) for pieces of innermost rows: operand k's elements lie at
/// offsets[k] + i * steps[k], i in 0..n-1.
template <int N, class Row>
void for_each_row(const Walk<N>& walk, Row row) {
  constexpr int64_t kGrain = 1 << 14;
  const size_t inner = static_cast<size_t>(walk.rank) - 1;
  const int64_t n = walk.dims[inner];
  int64_t rows = 1;
  for (size_t d = 0; d < inner; ++d) rows *= walk.dims[d];
  if (rows == 0 || n == 0) return;
  std::array<int64_t, N> steps;
  for (size_t k = 0; k < N; ++k) steps[k] = walk.strides[k][inner];
  const int64_t pieces = (n - 1) / kGrain + 1;  // long rows are cut
  const int64_t grain = pieces > 1 ? 1 : std::max<int64_t>(1, kGrain / n);
  parallel_ranges(rows * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      int64_t left = piece / pieces;
      const int64_t first = piece % pieces * kGrain;
      std::array<int64_t, N> offsets;
      for (size_t k = 0; k < N; ++k) offsets[k] = first * steps[k];
      for (size_t d = inner; d-- > 0;) {
        const int64_t at = left % walk.dims[d];
        left /= walk.dims[d];
        for (size_t k = 0; k < N; ++k) offsets[k] += at * walk.strides[k][d];
      }
      row(offsets, steps, std::min(kGrain, n - first));
    }
  });
}

}  // namespace sing::kernels::cpu
