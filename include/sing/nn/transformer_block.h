#pragma once
#include "sing/core/export.h"
#include "sing/nn/attention.h"
#include "sing/nn/mlp.h"
#include "sing/nn/norm.h"

namespace sing::nn {

struct TransformerBlockOptions {
  int64_t dim = 0, heads = 0, hidden = 0;
  double norm_eps = 1e-6;
  NormAffine norm_affine = NormAffine::trained;
  double dropout = 0, attention_dropout = 0;
};

/// What runs past the layers of pre-norm blocks: x + branch, a sum that the next norm takes on its
/// way over memory. An undefined branch stands for 0.
struct ResidualStream {
  Tensor x, branch;
};

/// Pre-norm block: x += attn(norm1(x)); x += mlp(norm2(x)). x: (B, T, dim) -> same.
/// Children norm1, attn, norm2, mlp as in the usual ViT checkpoints.
class SING_API TransformerBlock : public Module {
 public:
  explicit TransformerBlock(const TransformerBlockOptions& options);
  Tensor forward(const Tensor& x);
  /// The same with its last sum left to whoever reads it; both parts (B, T, dim).
  ResidualStream forward(ResidualStream stream);
  /// Keep only the block's input and work the rest again in the backward pass: the same numbers
  /// for about a third more work and a tenth of the memory. Off at first.
  void set_recompute(bool on) { recompute_ = on; }
  /// Multiply-adds for one sequence of `tokens`.
  double macs(int64_t tokens) const;

 private:
  ResidualStream run(ResidualStream stream);
  LayerNorm& norm1_;
  SelfAttention& attn_;
  LayerNorm& norm2_;
  Mlp& mlp_;
  int64_t dim_, hidden_;
  bool recompute_ = false;
};

}  // namespace sing::nn
