#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

enum class Pooling : uint8_t {
  max,      ///< padding never wins; the first largest of the window in row-major order; NaN wins
  average,  ///< sum / divisor
  blur,     ///< depth-wise 3x3 filter [1 2 1] x [1 2 1] / 16, zero padding
};

/// Sizes and element strides (N, C, H, W) of the large image x and the small image y.
struct Pool2dGeometry {
  int64_t n, channels, in_h, in_w, out_h, out_w;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  int64_t x_strides[4], y_strides[4];
  bool count_include_pad;  ///< average: divide by the whole window, not by what lies inside x
};

struct Pool2dFwdArgs {
  Pool2dGeometry g;
  Pooling kind;
  const void* x;
  void* y;
  int32_t*
      winner;  ///< max: place in the window (row * kernel_w + column), strides of y; or nullptr
  DType dtype;
  Stream stream;
};

/// grad_x is a gather over the windows that hold a pixel, in row-major order: no scatter.
struct Pool2dBwdArgs {
  Pool2dGeometry g;  ///< strides of grad_x and grad_y
  Pooling kind;
  const void* grad_y;
  const int32_t* winner;
  void* grad_x;
  DType dtype;
  Stream stream;
};

SING_DECLARE_SLOT(pool2d_fwd, Pool2dFwdArgs)
SING_DECLARE_SLOT(pool2d_bwd, Pool2dBwdArgs)

}  // namespace sing::kernels
