#pragma once
// What the kernels on tensor cores (attention_mma*.cu) ask of a score: is it seen, what is added to
// it, is its weight dropped.
#include "kernels/cuda/attention_tiles.h"

namespace sing::cuda {

constexpr float kLog2e = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;

/// Head and first row of a block: tiles of one head are neighbours.
struct Work {
  int64_t b, h, first;
};
SING_DEVICE Work work_of(const AttentionShape& s, int64_t rows) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const int64_t head = blockIdx.x / tiles;
  return {head / s.heads, head % s.heads, blockIdx.x % tiles * kTileRows};
}

/// Everything that is not the plain product: which scores are hidden, what is added to them, which
/// weights are dropped. Scores are in units of log 2.
template <bool kExtras>
struct Rules {
  const AttentionShape& s;
  int64_t b, h;
  PhiloxKey key;
  float to_log2;  // of a product

  float* key_mask;  // shared: what a mask by keys alone adds to each key of the tile

  SING_DEVICE Rules(const AttentionShape& shape, int64_t batch, int64_t head, float* shared)
      : s(shape), b(batch), h(head), key{}, to_log2(shape.scale_log2), key_mask(shared) {
    if constexpr (kExtras) key = philox_key_of(shape.key);
  }
  SING_DEVICE bool by_keys() const { return s.mask_query == 0; }
  /// For the `count` keys from `first` on, at most as many as the block has threads. With a barrier
  /// before its first use.
  SING_DEVICE void load_key_mask(int64_t first, unsigned count = kTileRows) {
    if constexpr (kExtras) {
      const int64_t j = first + threadIdx.x;
      if (s.mask == nullptr || !by_keys() || threadIdx.x >= count) return;
      // Query j sees key j whatever the order of tokens.
      key_mask[threadIdx.x] = j < s.keys ? attention_mask(s, b, h, j, j) * kLog2e : SING_HIDDEN;
    }
  }
  /// The score of key j, the `place`-th of its tile, that the order of tokens does not hide.
  SING_DEVICE float score(float product, int64_t i, int64_t j, int place) const {
    if constexpr (kExtras) {
      if (s.mask != nullptr) {
        const float added = by_keys() ? key_mask[place] : attention_mask(s, b, h, i, j) * kLog2e;
        return added == SING_HIDDEN ? SING_HIDDEN : product * to_log2 + added;
      }
    }
    return product * to_log2;
  }
  /// The first of the queries from `first` on that sees key j, 0 to 64.
  SING_DEVICE int first_query(int64_t j, int64_t first) const {
    if (j >= s.keys) return kTileRows;
    return !s.causal || j <= first ? 0 : tile_part(j - first);
  }
  SING_DEVICE static int tile_part(int64_t n) {
    return n < kTileRows ? static_cast<int>(n) : kTileRows;
  }
  SING_DEVICE uint32_t drops(const RandomWords& words) const {
    uint32_t bits = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) bits |= (words.at[w] < s.drop_below ? 1u : 0u) << w;
    return bits;
  }
  SING_DEVICE RandomWords words_of(int64_t i, int64_t j) const {
    return random_block(key, attention_index(s, b, h, i, j) / 4);
  }
  SING_DEVICE uint32_t drops_one(int64_t i, int64_t j) const {
    return random_word(key, attention_index(s, b, h, i, j)) < s.drop_below ? 1 : 0;
  }
  /// Bit 4 n + 2 r + c: whether weight (i + 8 r, j + 8 n + 2 t + c) is dropped, for the half of a
  /// product that has keys as its columns. All lanes must call it.
  SING_DEVICE uint32_t dropped_by_queries(int64_t i, int64_t j) const {
    uint32_t dropped = 0;
    if constexpr (kExtras) {
      if (s.drop_below == 0) return 0;
      const int t = lane_of().t;
      if (s.keys % 4 != 0) {
#pragma unroll 1
        for (int k = 0; k < 16; ++k)
          dropped |= drops_one(i + k / 2 % 2 * 8, j + k / 4 * 8 + 2 * t + k % 2) << k;
        return dropped;
      }
      // A block of random numbers serves two lanes: each makes those of every other column of
      // eight.
      const int odd = t % 2;
      uint32_t own = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k)
        own |= drops(words_of(i + k % 2 * 8, j + (k / 2 * 2 + odd) * 8 + t / 2 * 4)) << (4 * k);
      const uint32_t other = __shfl_xor_sync(0xffffffffu, own, 1);
#pragma unroll
      for (int n = 0; n < kHalf; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r)
          dropped |= ((n % 2 == odd ? own : other) >> ((n / 2 * 2 + r) * 4 + 2 * odd) & 3)
                     << (4 * n + 2 * r);
    }
    return dropped;
  }
  /// The same for a product that has queries as its columns: weight (i + 8 n + 2 t + c, j + g + 8
  /// r).
  SING_DEVICE uint32_t dropped_by_keys(int64_t i, int64_t j) const {
    uint32_t dropped = 0;
    if constexpr (kExtras) {
      if (s.drop_below == 0) return 0;
      const Lane at = lane_of();
      if (s.keys % 4 != 0) {
#pragma unroll 1
        for (int k = 0; k < 16; ++k)
          dropped |= drops_one(i + k / 4 * 8 + 2 * at.t + k % 2, j + at.g + k / 2 % 2 * 8) << k;
        return dropped;
      }
      // Four lanes with neighbouring keys share blocks: each makes those of one column of eight.
      const int quarter = at.g % 4, lane = 4 * at.g + at.t;
      uint32_t own = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k)
        own |= drops(words_of(i + quarter * 8 + 2 * at.t + k / 2, j + at.g / 4 * 4 + k % 2 * 8))
               << (4 * k);
#pragma unroll
      for (int n = 0; n < kHalf; ++n) {
        const uint32_t from = __shfl_sync(0xffffffffu, own, (lane & ~12) | n << 2);
#pragma unroll
        for (int k = 0; k < 4; ++k)
          dropped |= (from >> (4 * k + quarter) & 1) << (4 * n + k % 2 * 2 + k / 2);
      }
    }
    return dropped;
  }
  /// What weight 4 n + 2 r + c is multiplied by.
  SING_DEVICE float factor(uint32_t dropped, int place) const {
    if constexpr (kExtras) return (dropped >> place & 1) != 0 ? 0.0f : s.keep_scale;
    return 1;
  }
  /// The bits of the pair of weights from that place on that dropout leaves; their factor comes
  /// with the sums.
  SING_DEVICE static uint32_t kept_pair(uint32_t dropped, int place) {
    if constexpr (!kExtras) return 0xffffffffu;
    return ((dropped >> place & 1) != 0 ? 0u : 0xffffu) |
           ((dropped >> (place + 1) & 1) != 0 ? 0u : 0xffff0000u);
  }
};

static_assert(kHalf == 4, "masks of dropped weights have 16 bits");

}  // namespace sing::cuda
