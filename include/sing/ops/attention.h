#pragma once
#include <optional>

#include "sing/core/export.h"
#include "sing/core/random.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

struct AttentionOptions {
  /// Query i sees keys 0..i only.
  bool causal = false;
  /// (B, Tk), or any four dimensions that broadcast to (B, H, Tq, Tk). Boolean: true may be seen.
  /// Floating: added to the scaled scores (any floating dtype; -infinity hides). Gets no gradient.
  Tensor mask = {};
  /// Probability of dropping an attention weight; the others are multiplied by 1 / (1 - dropout).
  /// Weight (b, h, i, j) is kept exactly when random_bits(key, row-major index in (B, H, Tq, Tk))
  /// >= round(dropout * 2^32).
  double dropout = 0;
  RandomKey key = {};
  /// Default 1 / sqrt(D).
  std::optional<double> scale = {};
};

/// softmax(scale q k^T + mask) v: q (B, H, Tq, D), k (B, H, Tk, D), v (B, H, Tk, Dv)
/// -> (B, H, Tq, Dv). A query that sees no key gives zeros. Backward keeps one number per query
/// (the logarithm of its softmax's denominator) and computes the weights again. Autocast: lower.
/// Throws ShapeError when sizes do not fit, DTypeError unless q, k, v are of one floating dtype,
/// ConfigError unless 0 <= dropout < 1. Source: Vaswani et al. 2017, eq. 1; backward without the
/// T x T matrix: Dao et al. 2022, section 3.
SING_API Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const AttentionOptions& options = {});

/// Self-attention on one packed projection: qkv (B, T, 3 H D), the last dimension q, k, v in turn,
/// each H heads of D -> (B, T, H D). Nothing is copied or permuted, forward or backward.
/// Throws as scaled_dot_product_attention, and ShapeError unless 3 * heads divides the last
/// dimension.
SING_API Tensor attention_packed(const Tensor& qkv, int64_t heads,
                                 const AttentionOptions& options = {});

}  // namespace sing::ops
