#pragma once
#include "sing/core/export.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// Cuts images into patches and maps each to a token: (B, C, H, W) -> (B, H/p * W/p, dim), patches
/// row by row. The same numbers as a convolution with kernel and stride p and a bias, worked as one
/// matrix product. Parameters proj.weight: (dim, C, p, p), proj.bias: (dim).
class SING_API PatchEmbed : public Module {
 public:
  PatchEmbed(int64_t channels, int64_t patch, int64_t dim,
             const Init& weight_init = Init::torch_default());
  /// Throws ShapeError unless H and W are multiples of the patch.
  Tensor forward(const Tensor& images);
  /// Multiply-adds for one patch.
  double macs() const;

 private:
  class Projection;
  int64_t channels_, patch_, dim_;
  Projection& proj_;
};

/// The opposite of cutting: tokens (B, H/p * W/p, p * p * C), each a patch in order (row, column,
/// channel), to images (B, C, H, W).
SING_API Tensor fold_patches(const Tensor& tokens, int64_t channels, int64_t height, int64_t width,
                             int64_t patch);

}  // namespace sing::nn
