#pragma once
// The blocks of attention_mma_grad.cu: backward of attention in one pass, each score computed once.
// A block holds 128 or 256 keys and values of one head, 32 for each warp, whose gradients stay in
// registers, and walks over tiles of 64 queries. Scores are computed keys by queries, so weights
// and their gradients are, as they come, the left operands of the products for values and keys;
// through shared memory the gradients become the left operand of the product for the queries.
//
// Why so: for 256 tokens of 64 the five products are 42 MFLOP a head, two passes would make them
// seven, and what ldmatrix reads limits before what tensor cores multiply: 32 keys a warp read the
// tiles of queries once per 32 keys, not per 16. With more keys than a block holds each block
// leaves its part of the gradient of the queries in f32 and a second kernel adds the parts in the
// order of the keys: two bytes a score, against two products more.
#include "kernels/cuda/attention_rules.h"

namespace sing::cuda {

constexpr int kWarpKeys = 32;
constexpr int kKeyStrips = kWarpKeys / kSlice;
constexpr int kPartRow = kTileDim;  // of a part of the gradient of the queries

template <int kWarps>
struct OnePassShared {
  static constexpr int kKeys = kWarps * kWarpKeys;
  // Two blocks of four warps share a multiprocessor, if there is only one of these.
  static constexpr int kScoreBuffers = kWarps == 4 ? 1 : 2;
  bfloat16 k[kKeys][kPitch], v[kKeys][kPitch];
  Tile q[2], grad[2];
  bfloat16 scores[kScoreBuffers][kKeys][kPitch];  // gradients of scores, keys by queries
  Tile out;  // a warp has its own rows: those of `out` that it reads, then its part of grad_q
  alignas(8) float log_sum[2][kTileRows], delta[2][kTileRows];  // see finish_tile
  float key_mask[kKeys];
};
static_assert(2 * (sizeof(OnePassShared<4>) + 1024) <= 228 * 1024, "two blocks do not fit");
static_assert(sizeof(OnePassShared<8>) <= 227 * 1024, "more than a block can have");

struct OnePassOperands {
  const bfloat16 *q, *k, *v, *out, *grad;
  const float* log_sum;
  bfloat16 *grad_q, *grad_k, *grad_v;
  float* parts;  // nullptr where a block has all keys
  kernels::HeadStrides q_strides, k_strides, v_strides, out_strides, grad_strides, grad_q_strides,
      grad_k_strides, grad_v_strides;
  int64_t first_head, heads;  // those of this launch, b * heads + h
};

/// Keys of one head: what a block works on at a time. The numbers of a head's queries and keys have
/// 32 bits here, and registers are what this kernel is short of.
struct Item {
  int number, b, h, first_key;
};
template <int kKeys>
SING_DEVICE Item item_of(const OnePassOperands& o, const AttentionShape& s, int number) {
  const int blocks = (static_cast<int>(s.keys) + kKeys - 1) / kKeys;
  const int head = static_cast<int>(o.first_head) + number / blocks;
  const int heads = static_cast<int>(s.heads);
  return {number, head / heads, head % heads, number % blocks * kKeys};
}
/// The first tile of queries of an item; there is one even where no query sees these keys.
SING_DEVICE int first_tile(const AttentionShape& s, int first_key) {
  if (!s.causal) return 0;
  const int last = (static_cast<int>(s.queries) - 1) / kTileRows * kTileRows;
  return first_key < last ? first_key : last;
}

/// One kernel's view of its arguments. The steps of a tile of queries n, and why no barrier is
/// missing:
///   begin(n + 1)  copies into the buffer of n - 1, whose last readers were done before barrier
///                 A of n - 1
///   scores(n)     reads k, v, buffer n; writes the warp's rows of the gradients of scores
///   finish(n + 1) each thread waits for its own copies and adds up what it copied itself
///   barrier A     now everybody sees the gradients of scores and buffer n + 1
///   queries(n)    reads k and the gradients of scores
///   barrier B     with one buffer of gradients, or before k is overwritten. With two, those of n
///                 are overwritten in n + 2, after barrier A of n + 1
template <int kWarps, bool kExtras>
struct OnePass {
  using Shared = OnePassShared<kWarps>;
  static constexpr int kKeys = Shared::kKeys, kThreads = kWarps * kWarp;
  static constexpr int kOwnRows = kTileRows / kWarps;  // of a tile of queries, for copies

  const OnePassOperands& o;
  const AttentionShape& s;
  Shared& shared;
  int warp, lane, g, t;
  Fragments<kParts> key_sums[kKeyStrips], value_sums[kKeyStrips];

  SING_DEVICE OnePass(const OnePassOperands& operands, const AttentionShape& shape, Shared& memory)
      : o(operands), s(shape), shared(memory) {
    warp = static_cast<int>(threadIdx.x) / kWarp;
    lane = static_cast<int>(threadIdx.x) % kWarp;
    g = lane / 4;
    t = lane % 4;
  }

  /// Begins to copy all keys or values of an item.
  SING_DEVICE void load_keys(bfloat16 (&to)[kKeys][kPitch], const bfloat16* from,
                             const kernels::HeadStrides& strides, const Item& item,
                             int64_t dim) const {
    const int r = static_cast<int>(threadIdx.x) / kParts, c = lane % kParts;
    const int count = static_cast<int>(s.keys) - item.first_key;
    const bool column = c * 8 < static_cast<int>(dim);
    const bfloat16* const own =
        head_of(from, strides, item.b, item.h) + (item.first_key + r) * strides.row + c * 8;
#pragma unroll 4
    for (int i = 0; i < kKeys; i += kThreads / kParts)
      copy_async(&to[r + i][c * 8], own + i * strides.row, r + i < count && column);
  }
  SING_DEVICE void copy_rows(Tile& to, const bfloat16* from, const kernels::HeadStrides& strides,
                             const Item& item, int first, int64_t dim) const {
    const int r = warp * kOwnRows + lane / kParts, c = lane % kParts;
    const int count = static_cast<int>(s.queries) - first;
    const bool column = c * 8 < static_cast<int>(dim);
    const bfloat16* const own =
        head_of(from, strides, item.b, item.h) + (first + r) * strides.row + c * 8;
#pragma unroll
    for (int i = 0; i < kOwnRows; i += kWarp / kParts)
      copy_async(&to[r + i][c * 8], own + i * strides.row, r + i < count && column);
  }
  SING_DEVICE void begin_tile(const Item& head, int first, int buffer) {
    const Item item{head.number, again(head.b), again(head.h), head.first_key};
    copy_rows(shared.q[buffer], o.q, o.q_strides, item, first, s.dim);
    copy_rows(shared.grad[buffer], o.grad, o.grad_strides, item, first, s.value_dim);
    copy_rows(shared.out, o.out, o.out_strides, item, first, s.value_dim);
    if (threadIdx.x < kTileRows) {
      const int i = first + static_cast<int>(threadIdx.x);
      const bool exists = i < s.queries;
      copy_async_float(&shared.log_sum[buffer][threadIdx.x],
                       o.log_sum + (exists ? (item.b * s.heads + item.h) * s.queries + i : 0),
                       exists);
    }
  }
  SING_DEVICE void finish_tile(int buffer) {
    await_copies();
    const int c = lane % kParts;
#pragma unroll
    for (int i = 0; i < kOwnRows; i += kWarp / kParts) {
      const int r = warp * kOwnRows + i + lane / kParts;
      const float delta =
          row_product(*reinterpret_cast<const Chunk*>(&shared.grad[buffer][r][c * 8]),
                      *reinterpret_cast<const Chunk*>(&shared.out[r][c * 8]));
      if (c == 0) shared.delta[buffer][r] = delta;
    }
    if (threadIdx.x < kTileRows) {
      float& log_sum = shared.log_sum[buffer][threadIdx.x];
      // A row that does not exist is zeros, so whatever its weights, they add nothing.
      log_sum = log_sum == SING_HIDDEN ? INFINITY : log_sum * kLog2e;
    }
  }

  /// The warp's keys with 32 queries, from column `half` of the tile on. all: every key exists and
  /// every query sees it.
  SING_DEVICE void half_tile(const Rules<kExtras>& rules, const Item& item, int first, int half,
                             int buffer, bool all) {
    const int own = warp * kWarpKeys;
    bfloat16(*const scores)[kPitch] = shared.scores[buffer & (Shared::kScoreBuffers - 1)];
    uint32_t dropped[kKeyStrips] = {};
    if constexpr (kExtras)
#pragma unroll
      for (int m = 0; m < kKeyStrips; ++m)
        dropped[m] = rules.dropped_by_keys(first + half, item.first_key + own + m * kSlice);
    // Weights wait for their gradients in bf16, as the product for values takes them: in f32 they
    // would need 16 registers that are not there.
    uint32_t weights[kKeyStrips][kHalf][2];
    {
      Fragments<kHalf> products[kKeyStrips];
      multiply_strips(products, &shared.k[own], &shared.q[buffer][half]);
      if (kExtras || !all) hide(rules, item, first, half, products);
#pragma unroll
      for (int n = 0; n < kHalf; ++n) {
        const float2 log_sum =
            *reinterpret_cast<const float2*>(&shared.log_sum[buffer][half + n * 8 + 2 * t]);
#pragma unroll
        for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const float(&score)[4] = products[m][n];
            const float unit = kExtras ? 1.0f : rules.to_log2;
            weights[m][n][r] = pack_bf16(fast_exp2(score[2 * r] * unit - log_sum.x),
                                         fast_exp2(score[2 * r + 1] * unit - log_sum.y));
          }
      }
    }
#pragma unroll
    for (int slice = 0; slice < kHalf / 2; ++slice) {
      uint32_t a[kKeyStrips][4];
#pragma unroll
      for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int n = 2 * slice + i / 2, r = i % 2;
          a[m][i] = weights[m][n][r] & Rules<kExtras>::kept_pair(dropped[m], 4 * n + 2 * r);
        }
      add_strips(value_sums, a, &shared.grad[buffer][half + slice * kSlice]);
    }
    Fragments<kHalf> products[kKeyStrips];
    multiply_strips(products, &shared.v[own], &shared.grad[buffer][half]);
#pragma unroll
    for (int n = 0; n < kHalf; ++n) {
      const int column = half + n * 8 + 2 * t;
      const float2 delta = *reinterpret_cast<const float2*>(&shared.delta[buffer][column]);
#pragma unroll
      for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const uint32_t pair = weights[m][n][r];
          const float(&product)[4] = products[m][n];
          const int place = 4 * n + 2 * r;
          weights[m][n][r] = pack_bf16(
              float_of(pair << 16) * (product[2 * r] * rules.factor(dropped[m], place) - delta.x),
              float_of(pair & 0xffff0000u) *
                  (product[2 * r + 1] * rules.factor(dropped[m], place + 1) - delta.y));
          store_packed(&scores[own + m * kSlice + 8 * r + g][column], weights[m][n][r]);
        }
    }
#pragma unroll
    for (int slice = 0; slice < kHalf / 2; ++slice) {
      uint32_t a[kKeyStrips][4];
#pragma unroll
      for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) a[m][i] = weights[m][2 * slice + i / 2][i % 2];
      add_strips(key_sums, a, &shared.q[buffer][half + slice * kSlice]);
    }
  }
  /// Hides what no query sees; with extras products become scores.
  SING_DEVICE void hide(const Rules<kExtras>& rules, const Item& item, int first, int half,
                        Fragments<kHalf> (&weights)[kKeyStrips]) const {
#pragma unroll
    for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = warp * kWarpKeys + m * kSlice + 8 * r + g, j = item.first_key + row;
        // The first column of a query that sees key j.
        const int seen_from = j >= static_cast<int>(s.keys) ? kTileRows : s.causal ? j - first : 0;
#pragma unroll
        for (int n = 0; n < kHalf; ++n)
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            const int column = half + n * 8 + 2 * t + c, i = first + column;
            float& weight = weights[m][n][2 * r + c];
            // Queries that do not exist have no mask to read.
            if (column < seen_from || (kExtras && i >= static_cast<int>(s.queries)))
              weight = SING_HIDDEN;
            else if constexpr (kExtras)
              weight = rules.score(weight, i, j, row);
          }
      }
  }

  /// Gradient of the tile's queries from the first 16 `slices` keys, to memory: a warp has 32
  /// columns of 16 or 32 queries.
  SING_DEVICE void queries(const Item& item, int first, int slices, int buffer) {
    constexpr int kRows = 8 / kWarps;  // strips of 16 queries
    constexpr int kAcross = kTileRows / kSlice / kRows;
    const int own = again(warp);
    const int row = own % kAcross * kRows * kSlice, column = own / kAcross * 8 * kHalf;
    bfloat16(*const scores)[kPitch] = shared.scores[buffer & (Shared::kScoreBuffers - 1)];
    Fragments<kHalf> sums[kRows] = {};
#pragma unroll 2
    for (int slice = 0; slice < slices; ++slice) {
      uint32_t a[kRows][4];
#pragma unroll
      for (int m = 0; m < kRows; ++m)
        load_matrices<true>(a[m], &scores[slice * kSlice + lane / 16 * 8 + lane % 8]
                                         [row + m * kSlice + lane / 8 % 2 * 8]);
#pragma unroll
      for (int n = 0; n < kHalf; n += 2) {
        uint32_t b[4];
        load_matrices<true>(b,
                            &shared.k[slice * kSlice + lane % 16][column + n * 8 + lane / 16 * 8]);
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
          multiply_add(sums[m][n], a[m], b[0], b[1]);
          multiply_add(sums[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
    const Item to{again(item.number), again(item.b), again(item.h), item.first_key};
    o.parts != nullptr ? store_part(to, first + row, column, sums)
                       : store_queries(to, first + row, column, sums);
  }
  template <int kRows>
  SING_DEVICE void store_part(const Item& item, int first, int column,
                              const Fragments<kHalf> (&sums)[kRows]) const {
    float* const to = o.parts + item.number * s.queries * kPartRow + column + 2 * t;
#pragma unroll
    for (int m = 0; m < kRows; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int i = first + m * kSlice + 8 * r + g;
#pragma unroll
        for (int n = 0; n < kHalf; ++n)
          if (i < s.queries)
            *reinterpret_cast<float2*>(to + i * kPartRow + n * 8) =
                float2{sums[m][n][2 * r], sums[m][n][2 * r + 1]};
      }
  }
  /// Through the warp's rows of `out`, which hold two rows of 32 columns each.
  template <int kRows>
  SING_DEVICE void store_queries(const Item& item, int first, int column,
                                 const Fragments<kHalf> (&sums)[kRows]) {
    bfloat16(*const stage)[kPitch] = &shared.out[warp * kOwnRows];
    constexpr int kBelow = kRows == 1 ? 8 : kSlice;  // how far below is the second row
#pragma unroll
    for (int m = 0; m < kRows; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int at = m * kSlice + 8 * r + g;
#pragma unroll
        for (int n = 0; n < kHalf; ++n)
          store_pair(&stage[at % kBelow][at / kBelow * 8 * kHalf + n * 8 + 2 * t],
                     sums[m][n][2 * r] * s.scale, sums[m][n][2 * r + 1] * s.scale);
      }
    __syncwarp();
    bfloat16* const base = head_of(o.grad_q, o.grad_q_strides, item.b, item.h);
#pragma unroll
    for (int i = 0; i < kOwnRows * kParts / kWarp; ++i) {
      const int r = i * (kWarp / kParts) + lane / kParts, c = lane % kParts;
      const int row = first + r + c / kHalf * kBelow;
      const int to = column + c % kHalf * 8;
      if (row < s.queries && to < s.dim)
        *reinterpret_cast<Chunk*>(base + row * o.grad_q_strides.row + to) =
            *reinterpret_cast<const Chunk*>(&stage[r][c * 8]);
    }
    __syncwarp();  // before begin_tile copies into these rows
  }

  /// Gradients of the warp's keys and values, through its rows of the gradients of scores.
  SING_DEVICE void store_keys(const Item& item) {
    const float kept = kExtras ? s.keep_scale : 1.0f;
#pragma unroll
    for (int m = 0; m < kKeyStrips; ++m) {
      const int own = warp * kWarpKeys + m * kSlice;
      Rows const stage = &shared.scores[0][own];
      store_strip(head_of(o.grad_k, o.grad_k_strides, item.b, item.h), o.grad_k_strides.row, s.keys,
                  item.first_key + own, s.dim, key_sums[m], s.scale, s.scale, stage);
      store_strip(head_of(o.grad_v, o.grad_v_strides, item.b, item.h), o.grad_v_strides.row, s.keys,
                  item.first_key + own, s.value_dim, value_sums[m], kept, kept, stage);
    }
  }

  /// The steps of one item, while those of the next begin.
  SING_DEVICE int work(const Item& item, int items, int buffer) {
    const int following = item.number + static_cast<int>(gridDim.x);
    const bool has_next = following < items;
    Rules<kExtras> rules(s, item.b, item.h, shared.key_mask);
    const int queries_all = static_cast<int>(s.queries);
#pragma unroll
    for (int m = 0; m < kKeyStrips; ++m)
#pragma unroll
      for (int n = 0; n < kParts; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) key_sums[m][n][i] = value_sums[m][n][i] = 0;
#pragma unroll 1
    for (int first = first_tile(s, item.first_key); first < queries_all; first += kTileRows) {
      const bool last = first + kTileRows >= queries_all;
      if (!last) {
        begin_tile(item, first + kTileRows, buffer ^ 1);
      } else if (has_next) {
        const Item next = item_of<kKeys>(o, s, following);
        begin_tile(next, first_tile(s, next.first_key), buffer ^ 1);
      }
      // The keys of the block that exist and that a query of the tile sees; warps beyond them have
      // nothing to add.
      const int first_key = again(item.first_key);
      int keys = static_cast<int>(s.keys) - first_key;
      if (s.causal && first + kTileRows - first_key < keys) keys = first + kTileRows - first_key;
      const int seen = keys <= 0 ? 0 : keys < kKeys ? (keys - 1) / kWarpKeys + 1 : kWarps;
      if (warp < seen) {
        const int end = (warp + 1) * kWarpKeys;
        const bool all = !kExtras && end <= keys && (!s.causal || first >= first_key + end - 1);
#pragma unroll 1
        for (int half = 0; half < kTileRows; half += 8 * kHalf)
          half_tile(rules, item, first, half, buffer, all);
      }
      if (!last || has_next) finish_tile(buffer ^ 1);
      __syncthreads();  // A
      if (last && has_next)
        load_keys(shared.v, o.v, o.v_strides, item_of<kKeys>(o, s, following), s.value_dim);
      queries(item, first, seen * kKeyStrips, buffer);
      if (last || Shared::kScoreBuffers == 1) __syncthreads();  // B
      buffer ^= 1;
    }
    if (has_next) {
      const Item next = item_of<kKeys>(o, s, following);
      load_keys(shared.k, o.k, o.k_strides, next, s.dim);
      Rules<kExtras>(s, next.b, next.h, shared.key_mask).load_key_mask(next.first_key, kKeys);
    }
    store_keys(item);
    await_copies();
    __syncthreads();
    return buffer;
  }
};

}  // namespace sing::cuda
