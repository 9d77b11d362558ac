#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"
#include "sing/core/random.h"

namespace sing::kernels {

/// Element strides of one operand (batch, head, row, dense last dimension).
struct HeadStrides {
  int64_t batch, head, row;
};

/// What forward and backward share. Scores are scale * q k^T + mask; causal hides j > i. Weight
/// (b, h, i, j) is dropped when random_bits(key, row-major index) < drop_below, else multiplied by
/// keep_scale. A query that sees nothing has zero weights and a log-sum of -infinity.
struct AttentionProblem {
  int64_t batch, heads, queries, keys, dim, value_dim;
  DType dtype;       // of q, k, v, out and all gradients
  DType wide_dtype;  // of log_sum: f64 for f64, else f32
  const void* mask;  // nullptr: none
  DType mask_dtype;  // boolean (true may be seen) or floating (added)
  int64_t mask_batch, mask_head, mask_query, mask_key;  // strides
  bool causal;
  double scale;
  uint32_t drop_below;  // 0: no dropout
  double keep_scale;
  RandomKey key;
};

struct AttentionForwardArgs {
  AttentionProblem problem;
  const void *q, *k, *v;
  HeadStrides q_strides, k_strides, v_strides;
  void* out;
  HeadStrides out_strides;
  void* log_sum;  // (batch, heads, queries), dense
  Stream stream;
};

/// All three gradients are written (=), never added to.
struct AttentionBackwardArgs {
  AttentionProblem problem;
  const void *q, *k, *v, *out, *grad, *log_sum;
  HeadStrides q_strides, k_strides, v_strides, out_strides, grad_strides;
  void *grad_q, *grad_k, *grad_v;
  HeadStrides grad_q_strides, grad_k_strides, grad_v_strides;
  Stream stream;
};

SING_DECLARE_SLOT(attention_forward, AttentionForwardArgs)
SING_DECLARE_SLOT(attention_backward, AttentionBackwardArgs)

}  // namespace sing::kernels
