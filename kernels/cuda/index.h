#pragma once
// Rows chosen by an index: reading them, and adding to them in a fixed order.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/element.h"
#include "kernels/gather.h"
#include "kernels/walk.h"

namespace sing::cuda {

/// An index of i64 or i32. The choice is the same for all threads and beside a load costs nothing.
struct IndexArray {
  const void* data;
  bool wide;

  SING_DEVICE int64_t at(int64_t place) const {
    return wide ? static_cast<const int64_t*>(data)[place]
                : static_cast<const int32_t*>(data)[place];
  }
};
/// Throws NotImplementedError for other dtypes.
IndexArray index_array(const char* op, const void* data, DType dtype);

/// Remembers an index that is out of range, unless there is one already.
SING_DEVICE void report_index(Fault* fault, int64_t value, int64_t limit) {
  if (atomicCAS(&fault->code, 0, kIndexFault) != 0) return;
  fault->value = value;
  fault->limit = limit;
}

/// kernels::gather on the device: an index that is out of range is reported and gives zeros.
void gather_elements(const kernels::GatherArgs& args);

/// to[row(i), column] += from[i, column] for i in 0..n-1, with row(i) = index[i * index_step].
/// Indices outside 0..rows-1 and `skipped` (-1: none) are left out.
struct AddRows {
  void* to;
  const void* from;
  DType to_dtype, from_dtype;  ///< f32 or bf16
  IndexArray index;
  int64_t index_step, n, rows, skipped;
  int64_t to_step, from_step;  ///< from row to row, in elements
  kernels::Walk<2> columns;    ///< operands: to, from
  Stream stream;
};
/// Sorts the index by row without moving what is equal, then sums pieces of 64 of the sorted list
/// in order, and the pieces of one row in order: in f32, rounded once, and the same every time.
/// Throws NotImplementedError for 2^31 rows or indices and more.
void add_rows(const AddRows& args);

}  // namespace sing::cuda
