#include "sing/nn/attention.h"

#include "sing/backend/layer_scope.h"
#include "sing/core/error.h"
#include "sing/nn/context.h"
#include "sing/ops/attention.h"
#include "sing/ops/reshape.h"

namespace sing::nn {
namespace {

void check_heads(int64_t dim, int64_t heads) {
  if (heads <= 0 || dim % heads != 0)
    throw ConfigError(
        "heads must divide dim: " + std::to_string(heads) + " heads, dim " + std::to_string(dim),
        "model.heads", {}, "E0233");
}

LinearOptions projection(const AttentionOptions& options) {
  return transformer_linear(options.bias);
}

ops::AttentionOptions op_options(const AttentionOptions& options, const Tensor& key_mask,
                                 const Module& layer, uint64_t hash) {
  ops::AttentionOptions result;
  result.causal = options.causal;
  result.mask = key_mask;
  if (layer.training() && options.attention_dropout > 0) {
    result.dropout = options.attention_dropout;
    result.key = dropout_key(hash, layer.path().c_str());
  }
  return result;
}

// (B, T, parts * H * D) -> part number `part` as (B, H, T, D).
Tensor heads_of(const Tensor& x, int64_t parts, int64_t part, int64_t heads) {
  const int64_t b = x.size(0), t = x.size(1), width = x.size(2) / parts;
  const Tensor own = parts == 1 ? x : ops::narrow(x, 2, part * width, width);
  return ops::permute(ops::reshape(own, {b, t, heads, width / heads}), {0, 2, 1, 3});
}

}  // namespace

SelfAttention::SelfAttention(int64_t dim, int64_t heads, const AttentionOptions& options)
    : heads_(heads),
      options_(options),
      qkv_(child<Linear>("qkv", dim, 3 * dim, projection(options))),
      proj_(child<Linear>("proj", dim, dim, projection(options))),
      proj_drop_(child<Dropout>("proj_drop", options.dropout)) {
  check_heads(dim, heads);
}

Tensor SelfAttention::forward(const Tensor& x, const Tensor& key_mask) {
  const backend::LayerScope scope(path());
  const Tensor y = ops::attention_packed(qkv_.forward(x), heads_,
                                         op_options(options_, key_mask, *this, path_hash()));
  return proj_drop_.forward(proj_.forward(y));
}

CrossAttention::CrossAttention(int64_t dim, int64_t heads, const AttentionOptions& options)
    : dim_(dim),
      heads_(heads),
      options_(options),
      q_(child<Linear>("q", dim, dim, projection(options))),
      kv_(child<Linear>("kv", dim, 2 * dim, projection(options))),
      proj_(child<Linear>("proj", dim, dim, projection(options))),
      proj_drop_(child<Dropout>("proj_drop", options.dropout)) {
  check_heads(dim, heads);
}

Tensor CrossAttention::forward(const Tensor& x, const Tensor& context, const Tensor& key_mask) {
  const backend::LayerScope scope(path());
  const Tensor q = q_.forward(x), kv = kv_.forward(context);
  Tensor y = ops::scaled_dot_product_attention(
      heads_of(q, 1, 0, heads_), heads_of(kv, 2, 0, heads_), heads_of(kv, 2, 1, heads_),
      op_options(options_, key_mask, *this, path_hash()));
  y = ops::reshape(ops::permute(y, {0, 2, 1, 3}), {x.size(0), x.size(1), dim_});
  return proj_drop_.forward(proj_.forward(y));
}

}  // namespace sing::nn
