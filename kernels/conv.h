#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

/// Sizes of a two-dimensional convolution. Images are dense channels-last (N, H, W, C in memory);
/// the weight is (out_channels, in_channels / groups, kernel_h, kernel_w), dense and row-major or
/// channels-last.
struct Conv2dGeometry {
  int64_t n, in_channels, in_h, in_w, out_channels, out_h, out_w;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
  std::array<int64_t, 4> weight_strides;
};

/// All sizes but the number of images, to look plans up by.
inline std::vector<int64_t> sizes_of(const Conv2dGeometry& g) {
  return {g.in_channels, g.in_h,     g.in_w,       g.out_channels, g.out_h,
          g.out_w,       g.kernel_h, g.kernel_w,   g.stride_h,     g.stride_w,
          g.pad_h,       g.pad_w,    g.dilation_h, g.dilation_w,   g.groups};
}

struct Conv2dFwdArgs {
  Conv2dGeometry g;
  const void* x;
  const void* weight;
  const void* bias;  ///< [out_channels] or nullptr
  void* y;
  DType dtype;  ///< of all four
  Stream stream;
};

struct Conv2dBwdDataArgs {
  Conv2dGeometry g;
  const void* grad_y;
  const void* weight;
  void* grad_x;
  DType dtype;
  Stream stream;
};

/// Sums over the batch are f64 (reference) or at least f32, in an order fixed by the geometry.
struct Conv2dBwdWeightArgs {
  Conv2dGeometry g;  ///< weight_strides are those of grad_weight
  const void* x;
  const void* grad_y;
  void* grad_weight;          ///< nullptr: not wanted
  void* grad_bias;            ///< [out_channels], dense; nullptr: not wanted
  bool add_weight, add_bias;  ///< add to what is there instead of overwriting it
  DType dtype;                ///< of x and grad_y
  DType grad_weight_dtype, grad_bias_dtype;
  Stream stream;
};

SING_DECLARE_SLOT(conv2d_fwd, Conv2dFwdArgs)
SING_DECLARE_SLOT(conv2d_bwd_data, Conv2dBwdDataArgs)
SING_DECLARE_SLOT(conv2d_bwd_weight, Conv2dBwdWeightArgs)

}  // namespace sing::kernels
