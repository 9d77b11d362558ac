#pragma once
#include <array>
#include <cstdint>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Height first, then width.
struct Conv2dOptions {
  std::array<int64_t, 2> stride{1, 1};
  std::array<int64_t, 2> padding{0, 0};  ///< zeros on both sides
  std::array<int64_t, 2> dilation{1, 1};
  int64_t groups = 1;
};

/// Two-dimensional cross-correlation (what deep learning calls convolution).
/// x: (N, C, H, W); weight: (O, C / groups, KH, KW), any strides; bias: (O) or undefined. Returns
/// (N, O, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1, always in
/// channels-last memory, the layout the kernels work in: an x in another layout is copied once, and
/// a chain of layers stays channels-last from its first convolution on.
/// Throws ShapeError when sizes do not fit, DTypeError unless all floating inputs share one dtype.
SING_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       const Conv2dOptions& options = {});

}  // namespace sing::ops
