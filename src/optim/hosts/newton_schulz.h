#pragma once
#include <cstdint>

#include "sing/tensor/tensor.h"

namespace sing::optim {
#if defined(SING_OPTIM_DEVICE)
inline namespace on_device {
#endif

/// Makes matrices nearly orthogonal in place of their scale: all singular values end up near 1, by
/// steps of a quintic iteration (Jordan et al. 2024). Everything is in the dtype of the matrices;
/// a zero matrix stays zero. Memory is taken once, for the largest of them.
class NewtonSchulz {
 public:
  /// Room for matrices of up to `elements` elements and `short_side` rows or columns.
  void reserve(const TensorOptions& options, int64_t elements, int64_t short_side);
  /// Of the matrix that fills the start of `matrix`, row after row, which is used up; `norm`: the
  /// root of the sum of its squares. The result is dense and lies in `matrix` (always with
  /// `in_place`) or in memory that is valid until the next call.
  const void* run(Tensor& matrix, int64_t rows, int64_t cols, double norm, int64_t steps,
                  bool in_place);

 private:
  Tensor next_, gram_, polynomial_;
};

#if defined(SING_OPTIM_DEVICE)
}  // namespace on_device
#endif
}  // namespace sing::optim
