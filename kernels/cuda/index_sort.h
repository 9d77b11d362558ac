#pragma once
#include "kernels/cuda/index.h"

namespace sing::cuda {

/// An element of an index: the row it names (`rows` for one that is left out) and its place.
struct RowPlace {
  uint32_t row, place;
};

/// Bytes that sort_by_row needs for n indices.
size_t sort_bytes(int64_t n);
/// The list of (row, place), sorted by row and within a row by place; it lies in `workspace`.
/// 0 < n and rows < 2^31.
const RowPlace* sort_by_row(const IndexArray& index, int64_t index_step, int64_t n, int64_t rows,
                            int64_t skipped, void* workspace, Stream stream);

}  // namespace sing::cuda
