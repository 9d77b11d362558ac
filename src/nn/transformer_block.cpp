#include "sing/nn/transformer_block.h"

#include "sing/backend/layer_scope.h"
#include "sing/nn/context.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/recompute.h"

namespace sing::nn {

TransformerBlock::TransformerBlock(const TransformerBlockOptions& o)
    : norm1_(child<LayerNorm>("norm1", o.dim, o.norm_eps, o.norm_affine)),
      attn_(child<SelfAttention>(
          "attn", o.dim, o.heads,
          AttentionOptions{.attention_dropout = o.attention_dropout, .dropout = o.dropout})),
      norm2_(child<LayerNorm>("norm2", o.dim, o.norm_eps, o.norm_affine)),
      mlp_(child<Mlp>("mlp", o.dim, o.hidden, o.dropout)),
      dim_(o.dim),
      hidden_(o.hidden) {}

Tensor TransformerBlock::run(const Tensor& x) {
  const Tensor y = ops::add(x, attn_.forward(norm1_.forward(x)));
  return ops::add(y, mlp_.forward(norm2_.forward(y)));
}

Tensor TransformerBlock::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  if (!recompute_ || !training()) return run(x);
  // The second run comes when the backward pass does: it must draw the masks of this one.
  return ops::recompute(
      [this, position = ForwardContext::current()](std::span<const Tensor> inputs) {
        const ForwardContext context(position);
        return run(inputs[0]);
      },
      {x});
}

double TransformerBlock::macs(int64_t tokens) const {
  const double t = static_cast<double>(tokens), dim = static_cast<double>(dim_);
  return t * dim * (4 * dim + 2 * static_cast<double>(hidden_) + 2 * t);
}

}  // namespace sing::nn
