#pragma once
#include <cstdint>

#include "sing/tensor/tensor.h"

namespace sing::optim {

/// Makes matrices nearly orthogonal in place of their scale: all singular values end up near 1, by
/// steps of a quintic iteration (Jordan et al. 2024). Everything is in the dtype of the matrices;
/// a zero matrix stays zero. Memory is taken once, for the largest of them.
class NewtonSchulz {
 public:
  /// Room for matrices of up to `elements` elements and `short_side` rows or columns.
  void reserve(DType dtype, int64_t elements, int64_t short_side);
  /// Where the matrix is to be written, row after row.
  void* input() { return x_.mutable_raw(); }
  /// `norm`: the root of the sum of squares of the input. The result is dense, valid until the next
  /// call.
  const void* run(int64_t rows, int64_t cols, double norm, int64_t steps);

 private:
  Tensor x_, next_, gram_, polynomial_;
};

}  // namespace sing::optim
