#pragma once
#include <cstdint>
#include <span>

#include "optim/target.h"
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
  /// Matrices of one shape, dense, at a distance of `stride` elements.
  struct Batch {
    int64_t rows, cols, count = 1, stride = 0;
    int64_t side() const { return rows < cols ? rows : cols; }
  };
  /// What a matrix is divided by, if `norm` is the root of the sum of its squares.
  SING_ALWAYS_INLINE static double divisor(double norm) { return norm + 1e-7; }

  /// Room for the products of any of `batches`.
  void reserve(const TensorOptions& options, std::span<const Batch> batches);
  /// Makes `steps` steps from `x`, whose matrices have been divided. `other` is as large. The
  /// result lies in the one of them that is returned: `x` after an even number of steps.
  Tensor& run(Tensor& x, Tensor& other, const Batch& batch, int64_t steps);
  /// x times a number, in place.
  static void scale(Tensor& x, double factor, int64_t n);

 private:
  Tensor gram_, polynomial_;
};

#if defined(SING_OPTIM_DEVICE)
}  // namespace on_device
#endif
}  // namespace sing::optim
