#pragma once
#include "sing/core/export.h"
#include "sing/nn/dropout.h"
#include "sing/nn/linear.h"
#include "sing/nn/module.h"

namespace sing::nn {

struct AttentionOptions {
  bool bias = true;              ///< of every projection
  bool causal = false;           ///< position t sees 0..t only
  double attention_dropout = 0;  ///< of the attention weights
  double dropout = 0;            ///< of the result
};

/// Multi-head self-attention with one fused projection: softmax(q k^T / sqrt(dim / heads)) v per
/// head, then a linear map. x: (B, T, dim) -> same. Parameters qkv.{weight (3 dim, dim), bias},
/// proj.{weight (dim, dim), bias}; rows of qkv are those of q, then k, then v, head by head.
/// Throws ConfigError E0233 unless heads divide dim. Source: Vaswani et al. 2017.
class SING_API SelfAttention : public Module {
 public:
  SelfAttention(int64_t dim, int64_t heads, const AttentionOptions& options = {});
  /// key_mask: boolean, (B, T), true where a position may be seen; undefined: everywhere.
  Tensor forward(const Tensor& x, const Tensor& key_mask = {});

 private:
  int64_t heads_;
  AttentionOptions options_;
  Linear &qkv_, &proj_;
  Dropout& proj_drop_;
};

/// Multi-head attention from x: (B, T, dim) to a context (B, S, dim) -> (B, T, dim). Parameters
/// q.{weight (dim, dim), bias}, kv.{weight (2 dim, dim), bias}, proj.{weight (dim, dim), bias}.
class SING_API CrossAttention : public Module {
 public:
  CrossAttention(int64_t dim, int64_t heads, const AttentionOptions& options = {});
  /// key_mask: boolean, (B, S), true where a position of the context may be seen.
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& key_mask = {});

 private:
  int64_t dim_, heads_;
  AttentionOptions options_;
  Linear &q_, &kv_, &proj_;
  Dropout& proj_drop_;
};

}  // namespace sing::nn
