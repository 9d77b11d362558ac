#pragma once
#include "sing/core/export.h"
#include "sing/nn/module.h"
#include "sing/ops/conv.h"

namespace sing::nn {

struct Conv2dLayerOptions {
  ops::Conv2dOptions conv = {};
  bool bias = false;
  Init weight_init = Init::torch_default();
};

/// Convolution with a square kernel. x: (N, in, H, W) -> (N, out, OH, OW), channels-last in memory.
/// Parameters weight: (out, in / groups, kernel, kernel), row-major in memory, so that rows are
/// contiguous for SING and for files; bias: (out).
class SING_API Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, const Conv2dLayerOptions& options = {});
  Tensor forward(const Tensor& x);
  /// Multiply-adds for one image of this input size; sets the size to that of the output.
  double macs(int64_t& height, int64_t& width) const;

 private:
  ops::Conv2dOptions conv_;
  int64_t kernel_, weights_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
};

}  // namespace sing::nn
