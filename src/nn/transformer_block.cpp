#include "sing/nn/transformer_block.h"

#include "sing/backend/layer_scope.h"
#include "sing/nn/context.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/recompute.h"

namespace sing::nn {
namespace {

Tensor sum(const ResidualStream& stream) {
  return stream.branch.defined() ? ops::add(stream.x, stream.branch) : stream.x;
}

}  // namespace

TransformerBlock::TransformerBlock(const TransformerBlockOptions& o)
    : norm1_(child<LayerNorm>("norm1", o.dim, o.norm_eps, o.norm_affine)),
      attn_(child<SelfAttention>(
          "attn", o.dim, o.heads,
          AttentionOptions{.attention_dropout = o.attention_dropout, .dropout = o.dropout})),
      norm2_(child<LayerNorm>("norm2", o.dim, o.norm_eps, o.norm_affine)),
      mlp_(child<Mlp>("mlp", o.dim, o.hidden, o.dropout)),
      dim_(o.dim),
      hidden_(o.hidden) {}

ResidualStream TransformerBlock::run(ResidualStream stream) {
  ops::AddedNorm next = norm1_.forward(stream.x, stream.branch);
  stream = {};  // free from here on, unless backward needs it
  next = norm2_.forward(next.sum, attn_.forward(next.y));
  return {next.sum, mlp_.forward(next.y)};
}

ResidualStream TransformerBlock::forward(ResidualStream stream) {
  const backend::LayerScope scope(path());
  if (!recompute_ || !training()) return run(std::move(stream));
  // The second run comes when the backward pass does: it must draw the masks of this one.
  return {ops::recompute(
              [this, position = ForwardContext::current()](std::span<const Tensor> inputs) {
                const ForwardContext context(position);
                return sum(run({inputs[0], {}}));
              },
              {sum(stream)}),
          {}};
}

Tensor TransformerBlock::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  return sum(forward(ResidualStream{x, {}}));
}

double TransformerBlock::macs(int64_t tokens) const {
  const double t = static_cast<double>(tokens), dim = static_cast<double>(dim_);
  return t * dim * (4 * dim + 2 * static_cast<double>(hidden_) + 2 * t);
}

}  // namespace sing::nn
