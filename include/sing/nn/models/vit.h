#pragma once
#include <vector>

#include "sing/nn/linear.h"
#include "sing/nn/models/model_options.h"
#include "sing/nn/patch_embed.h"
#include "sing/nn/transformer_block.h"

namespace sing::nn {

enum class PatchInit : uint8_t {
  kaiming_uniform,   ///< what a convolution of PyTorch starts from: U(-b, b), b = 1 / sqrt(fan_in)
  truncated_normal,  ///< as the other linear weights: 0.02
};
inline config::EnumNames<PatchInit> enum_names(PatchInit) {
  return {{"kaiming_uniform", PatchInit::kaiming_uniform},
          {"truncated_normal", PatchInit::truncated_normal}};
}

struct VitOptions : ModelOptions {
  int64_t patch = 16;
  int64_t depth = 12, dim = 384, heads = 6;
  double mlp_ratio = 4;
  NormAffine norm_affine = NormAffine::trained;
  PatchInit patch_init = PatchInit::kaiming_uniform;
  double dropout = 0, attention_dropout = 0;
  static void describe(config::Fields<VitOptions>& f);
};

/// Vision transformer (Dosovitskiy et al. 2021). Registered as vit (384 wide as vit_s, all sizes
/// free), vit_tiny (192, 3 heads), vit_s (384, 6 heads) and vit_b (768, 12 heads), 12 blocks each.
///
/// Patch embedding with bias, learned position embedding, pre-norm blocks (eps 1e-6, exact gelu),
/// final norm. Image to image: no class token, position embedding (1, N, C), a linear map of each
/// token to its patch, folded back. Classifier: class token first, position embedding
/// (1, N + 1, C), a linear map of the class token.
/// Names as in timm: cls_token, pos_embed, patch_embed.proj, blocks.N.{norm1, attn.{qkv, proj},
/// norm2, mlp.{fc1, fc2}}, norm, head.
class SING_API Vit : public Model {
 public:
  /// Throws ConfigError E0230 to E0234 (see model_kind).
  Vit(const VitOptions& options, const DataShape& data);
  /// Throws ShapeError unless input is (N, channels, height, width) as made for.
  Tensor forward(const Tensor& input) override;
  int64_t forward_macs() const override;
  bool set_recompute(bool on) override;
  int64_t tokens() const { return tokens_; }

 private:
  int64_t patch_, dim_, patches_, tokens_;
  Parameter* cls_token_ = nullptr;
  Parameter& pos_embed_;
  PatchEmbed& patch_embed_;
  Dropout& pos_drop_;
  std::vector<TransformerBlock*> blocks_;
  LayerNorm* norm_;
  Linear* head_;
};

}  // namespace sing::nn
