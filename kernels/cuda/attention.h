#pragma once
// What the kernels of attention share: which weights are hidden, added to or dropped.
#include <cmath>

#include "kernels/attention.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/random.h"

namespace sing::cuda {

/// An AttentionProblem on its way into a kernel.
struct AttentionShape {
  int64_t batch, heads, queries, keys, dim, value_dim;
  const void* mask;
  DType mask_dtype;
  int64_t mask_batch, mask_head, mask_query, mask_key;
  bool causal;
  float scale, scale_log2, keep_scale;  // scale_log2: for powers of two
  uint32_t drop_below;
  DeviceKey key;
};

inline AttentionShape attention_shape(const kernels::AttentionProblem& p) {
  return {p.batch,
          p.heads,
          p.queries,
          p.keys,
          p.dim,
          p.value_dim,
          p.mask,
          p.mask_dtype,
          p.mask_batch,
          p.mask_head,
          p.mask_query,
          p.mask_key,
          p.causal,
          static_cast<float>(p.scale),
          static_cast<float>(p.scale * 1.4426950408889634),
          static_cast<float>(p.keep_scale),
          p.drop_below,
          device_key(p.key)};
}

/// The kernels for any layout, dimension and dtype (attention_plain.cu).
void plain_attention_forward(const kernels::AttentionForwardArgs& args);
void plain_attention_backward(const kernels::AttentionBackwardArgs& args);
/// The kernels on tensor cores (attention_mma.cu): bf16, heads of at most 64 in steps of 8, rows
/// aligned to 16 bytes. False for anything else; nothing was written then.
bool mma_attention_forward(const kernels::AttentionForwardArgs& args);
bool mma_attention_backward(const kernels::AttentionBackwardArgs& args);
/// Backward for more than 64 keys, where mma_attention_backward has found everything else to fit
/// (attention_mma_grad.cu).
void mma_attention_one_pass(const kernels::AttentionBackwardArgs& args);

#define SING_HIDDEN (-INFINITY)

/// What is added to the score of query i and key j of one head; SING_HIDDEN: the key is not seen.
/// Both indices must exist.
SING_DEVICE float attention_mask(const AttentionShape& s, int64_t b, int64_t h, int64_t i,
                                 int64_t j) {
  if (s.causal && j > i) return SING_HIDDEN;
  if (s.mask == nullptr) return 0;
  const int64_t at = b * s.mask_batch + h * s.mask_head + i * s.mask_query + j * s.mask_key;
  switch (s.mask_dtype) {
    case DType::boolean:
      return static_cast<const bool*>(s.mask)[at] ? 0.0f : SING_HIDDEN;
    case DType::bf16:
      return to_value(static_cast<const bfloat16*>(s.mask)[at]);
    case DType::f16:
      return to_value(static_cast<const float16*>(s.mask)[at]);
    case DType::f64:
      return static_cast<float>(static_cast<const double*>(s.mask)[at]);
    default:
      return static_cast<const float*>(s.mask)[at];
  }
}

/// The number of weight (i, j) of head b, h among all weights.
SING_DEVICE uint64_t attention_index(const AttentionShape& s, int64_t b, int64_t h, int64_t i,
                                     int64_t j) {
  return static_cast<uint64_t>(((b * s.heads + h) * s.queries + i) * s.keys + j);
}

/// 0, or what a kept weight is multiplied by.
SING_DEVICE float attention_kept(const AttentionShape& s, const PhiloxKey& key, int64_t b,
                                 int64_t h, int64_t i, int64_t j) {
  if (s.drop_below == 0) return 1;
  return random_word(key, attention_index(s, b, h, i, j)) < s.drop_below ? 0.0f : s.keep_scale;
}

}  // namespace sing::cuda
