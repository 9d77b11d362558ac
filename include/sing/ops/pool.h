#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Pooling of images (N, C, H, W), floating. The result has the memory format of x; its size is
// (H + 2 padding - kernel) / stride + 1, rounded down. Padding is at most half the kernel.
// All throw ShapeError when sizes do not fit.
namespace sing::ops {

struct Pool2dOptions {
  std::array<int64_t, 2> kernel{2, 2};
  std::optional<std::array<int64_t, 2>> stride = std::nullopt;  ///< the kernel when absent
  std::array<int64_t, 2> padding{0, 0};
};

/// Largest of each window. Padding never wins. Among equals the first in row-major order wins and
/// takes the whole gradient; a NaN wins over all numbers.
SING_API Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options);
/// Mean of each window, divided by kernel_h * kernel_w, or with count_include_pad = false by the
/// number of window places inside the image.
SING_API Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options,
                           bool count_include_pad = true);
/// Mean over each image plane: (N, C, 1, 1). H and W must not be 0.
SING_API Tensor global_avg_pool(const Tensor& x);
/// Fixed depth-wise filter [1 2 1] x [1 2 1] / 16 with zero padding 1 (Zhang 2019, "Making
/// convolutional networks shift-invariant again"), then every stride-th pixel.
SING_API Tensor blur_pool(const Tensor& x, int64_t stride = 1);

}  // namespace sing::ops
