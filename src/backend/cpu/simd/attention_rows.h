#pragma once
// What the attention kernels share: the rows of scores between the products. Masks, dropout,
// softmax and its way back, in f32.
#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/gemm_tile.h"
#include "backend/cpu/simd/philox.h"
#include "kernels/attention.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kBlockElements = 1 << 14;  // of scores kept at a time: 64 KB
constexpr int64_t kSlack = 4 * kWidth + 4;   // what whole-vector writes may add to a row

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
int64_t round_up(int64_t a, int64_t b) {
  return (a + b - 1) / b * b;
}
/// Queries at a time on the way back: whole tiles of rows, or all there are.
int64_t rows_of_block(const AttentionProblem& p, int64_t score_stride) {
  const int64_t rows = kBlockElements / score_stride / kTileRows * kTileRows;
  return smaller(rows < kTileRows ? kTileRows : rows, p.queries);
}
SING_INLINE Mask lanes_at(int64_t j, int64_t n) {
  return first(n - j < kWidth ? n - j : kWidth);
}

/// The mask of query i as numbers to add, -infinity where hidden. Rows of `keys` floats.
struct MaskRow {
  const AttentionProblem& p;
  int64_t b, h;
  float* buffer;
  bool filled = false;

  const float* row(int64_t i) {
    if (p.mask == nullptr) return nullptr;
    if (filled && p.mask_query == 0) return buffer;
    filled = true;
    const int64_t at = b * p.mask_batch + h * p.mask_head + i * p.mask_query;
    for (int64_t j = 0; j < p.keys; ++j) {
      const int64_t from = at + j * p.mask_key;
      if (p.mask_dtype == DType::boolean) {
        buffer[j] = static_cast<const bool*>(p.mask)[from] ? 0.0f : -__builtin_inff();
      } else if (p.mask_dtype == DType::f32) {
        buffer[j] = static_cast<const float*>(p.mask)[from];
      } else {
        const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(p.mask)[from])
                              << 16;
        __builtin_memcpy(buffer + j, &bits, sizeof bits);
      }
    }
    return buffer;
  }
};

/// What every row of one head needs.
struct Work {
  const AttentionProblem& p;
  int64_t b, h;
  MaskRow mask;
  PhiloxKey philox;
  uint32_t* bits;  // keys random words and slack
  float scale;

  int64_t visible(int64_t i) const { return p.causal ? smaller(p.keys, i + 1) : p.keys; }
  void draw(int64_t i) const {
    const int64_t index = ((b * p.heads + h) * p.queries + i) * p.keys;
    random_row(philox, static_cast<uint64_t>(index), p.keys, bits);
  }
  /// 0 or keep_scale for keys j...
  vf kept(int64_t j) const {
    float factors[kWidth];
    for (int l = 0; l < kWidth; ++l)
      factors[l] = bits[j + l] < p.drop_below ? 0.0f : static_cast<float>(p.keep_scale);
    return load(factors);
  }
  SING_INLINE vf score(const float* s, const float* added, int64_t j, Mask lanes) const {
    const vf x = load(s + j, lanes) * scale;
    return added == nullptr ? x : x + load(added + j, lanes);
  }
};

Work work_of(const AttentionProblem& p, int64_t b, int64_t h, const PhiloxKey& philox,
             float* mask_buffer, float* bits) {
  return {p,
          b,
          h,
          {p, b, h, mask_buffer},
          philox,
          reinterpret_cast<uint32_t*>(bits),
          static_cast<float>(p.scale)};
}

/// The largest visible score of query i; -infinity when nothing is visible. Scales and masks.
SING_INLINE float scale_row(Work& w, float* s, int64_t i) {
  const int64_t visible = w.visible(i);
  const float* added = w.mask.row(i);
  vf most = set1(-__builtin_inff());
  for (int64_t j = 0; j < visible; j += kWidth) {
    const Mask lanes = lanes_at(j, visible);
    const vf x = w.score(s, added, j, lanes);
    store(s + j, x, lanes);
    most = max(most, keep(lanes, x, most));
  }
  float top = largest(most);
  if (top == -__builtin_inff())  // nothing visible, unless a NaN slipped through the maximum
    for (int64_t j = 0; j < visible; ++j) top = s[j] == s[j] ? top : s[j];
  return top;
}

/// Scores less `top` become exponentials, zeros from `visible` up to `padded`. Returns their sum.
SING_INLINE vf exponentials(float* s, int64_t visible, int64_t padded, float top) {
  vf total{};
  int64_t j = 0;
  if (top != -__builtin_inff()) {
    for (; j + kWidth <= visible; j += kWidth) {
      const vf e = exp(load(s + j) - top);
      total = total + e;
      store(s + j, e);
    }
    if (j < visible) {
      const Mask lanes = lanes_at(j, visible);
      const vf e = keep(lanes, exp(load(s + j, lanes) - top), vf{});
      total = total + e;
      store(s + j, e);
      j += kWidth;
    }
  }
  for (; j < padded; j += kWidth) store(s + j, vf{});
  return total;
}

/// Scores of queries i, i + 1, ... become exponentials (dropped where dropout says so), zero up to
/// `padded`; inverse[r] is 1 / their sum before dropping (0 when nothing is visible). One pass per
/// kind of work over all rows, so that no row waits for the sum or maximum of another.
void softmax_rows(Work& w, float* s, int64_t stride, int64_t i, int64_t rows, int64_t padded,
                  float* log_sum, float* inverse) {
  float top[kWidth] = {}, total[kWidth] = {};
  for (int64_t r = 0; r < rows; ++r) top[r] = scale_row(w, s + r * stride, i + r);
  for (int64_t r = 0; r < rows; ++r)
    total[r] = sum(exponentials(s + r * stride, w.visible(i + r), padded, top[r]));
  const Mask lanes = first(rows);
  const vf tops = load(top), totals = load(total);
  const auto blind = tops == -__builtin_inff();
  store(log_sum, blind ? tops : tops + log(totals), lanes);
  store(inverse, blind ? vf{} : 1.0f / totals, lanes);
  if (w.p.drop_below == 0) return;
  for (int64_t r = 0; r < rows; ++r) {
    w.draw(i + r);
    for (int64_t j = 0; j < w.visible(i + r); j += kWidth)
      store(s + r * stride + j, load(s + r * stride + j) * w.kept(j));
  }
}

/// Hands out pieces of a workspace.
struct Pieces {
  char* at;
  float* take(int64_t floats) {
    float* piece = reinterpret_cast<float*>(at);
    at += round_up(floats * 4, 64);
    return piece;
  }
};

bool served(const AttentionProblem& p) {
  if (p.dtype != DType::f32 && p.dtype != DType::bf16) return false;
  if (p.mask != nullptr && p.mask_dtype != DType::boolean && p.mask_dtype != DType::f32 &&
      p.mask_dtype != DType::bf16)
    return false;
  return p.batch > 0 && p.heads > 0 && p.queries > 0 && p.keys > 0 && p.dim > 0 && p.value_dim > 0;
}

PhiloxKey philox_of(const AttentionProblem& p) {
  PhiloxKey key{};
  if (p.drop_below != 0) {
    const auto words = philox_key(p.key);
    key = {words.data()[0], words.data()[1], static_cast<uint32_t>(p.key.position),
           static_cast<uint32_t>(p.key.position >> 32)};
  }
  return key;
}

/// The weights of query i from its scores, and the gradient of its scores from that of its weights:
/// `s` becomes the weights (with dropout applied), `d` the gradient. Zero up to `padded`.
template <bool kMasked, bool kDropping>
SING_INLINE void backward_vector(const Work& w, float* s, float* d, const float* added, int64_t j,
                                 Mask lanes, float log_sum, float delta) {
  vf weight = exp(w.score(s, added, j, lanes) - log_sum);
  vf grad_weight = kMasked ? load(d + j, lanes) : load(d + j);
  vf used = weight;
  if constexpr (kDropping) {
    const vf kept = w.kept(j);
    grad_weight = grad_weight * kept;
    used = weight * kept;
  }
  vf gradient = weight * (grad_weight - delta) * w.scale;
  if constexpr (kMasked) {
    used = keep(lanes, used, vf{});
    gradient = keep(lanes, gradient, vf{});
  }
  store(s + j, used);
  store(d + j, gradient);
}

template <bool kDropping>
void backward_row(Work& w, float* s, float* d, int64_t i, int64_t padded, float log_sum,
                  float delta) {
  const int64_t visible = log_sum == -__builtin_inff() ? 0 : w.visible(i);
  const float* added = w.mask.row(i);
  if constexpr (kDropping) w.draw(i);
  int64_t j = 0;
  for (; j + kWidth <= visible; j += kWidth)
    backward_vector<false, kDropping>(w, s, d, added, j, first(kWidth), log_sum, delta);
  if (j < visible) {
    backward_vector<true, kDropping>(w, s, d, added, j, lanes_at(j, visible), log_sum, delta);
    j += kWidth;
  }
  for (; j < padded; j += kWidth) {
    store(s + j, vf{});
    store(d + j, vf{});
  }
}

}  // namespace
}  // namespace sing::kernels::SING_SIMD
