// Attention in bf16 on tensor cores, for heads of up to 64: flash attention (Dao et al. 2022) in
// tiles of 64 queries by 64 keys. A block of four warps serves 64 rows of one head. Up to 64 keys
// backward is one kernel; beyond, one by queries and one by keys, so that no sum has two writers.
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

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

  float* key_mask;  // shared: what a mask by keys alone adds to the 64 keys of the tile

  SING_DEVICE Rules(const AttentionShape& shape, int64_t batch, int64_t head, float* shared)
      : s(shape), b(batch), h(head), key{}, to_log2(shape.scale * kLog2e), key_mask(shared) {
    if constexpr (kExtras) key = philox_key_of(shape.key);
  }
  SING_DEVICE bool by_keys() const { return s.mask_query == 0; }
  /// With a barrier before its first use.
  SING_DEVICE void load_key_mask(int64_t first) {
    if constexpr (kExtras) {
      const int64_t j = first + threadIdx.x;
      if (s.mask == nullptr || !by_keys() || threadIdx.x >= kTileRows) return;
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
  /// How many keys from `first` on query i sees, 0 to 64.
  SING_DEVICE int keys_seen(int64_t i, int64_t first) const {
    const int64_t end = s.causal && i < s.keys ? i + 1 : s.keys;
    return i >= s.queries || end <= first ? 0 : tile_part(end - first);
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
};

static_assert(kHalf == 4, "masks of dropped weights have 16 bits");

template <bool kExtras>
__global__ void __launch_bounds__(kTileThreads, 4)
    mma_forward_kernel(const bfloat16* q_data, const bfloat16* k_data, const bfloat16* v_data,
                       bfloat16* out, float* log_sum, kernels::HeadStrides q_strides,
                       kernels::HeadStrides k_strides, kernels::HeadStrides v_strides,
                       kernels::HeadStrides out_strides, AttentionShape s) {
  __align__(16) __shared__ Tile q_tile;
  __align__(16) __shared__ Tile k_tile;
  __align__(16) __shared__ Tile v_tile;
  const Work work = work_of(s, s.queries);
  const Lane at = lane_of();
  __shared__ float key_mask[kTileRows];
  Rules<kExtras> rules(s, work.b, work.h, key_mask);
  const HeadRows q{head_of(q_data, q_strides, work.b, work.h), q_strides.row, s.queries};
  const HeadRows k{head_of(k_data, k_strides, work.b, work.h), k_strides.row, s.keys};
  const HeadRows v{head_of(v_data, v_strides, work.b, work.h), v_strides.row, s.keys};
  const int64_t query[2] = {work.first + at.row, work.first + at.row + 8};
  float highest[2] = {SING_HIDDEN, SING_HIDDEN}, total[2] = {};
  Sums sums = {};
  load_rows(q_tile, q, work.first, s.dim);
  const int64_t last = work.first + kTileRows;
  const int64_t keys = s.causal && last < s.keys ? last : s.keys;
  for (int64_t first = 0; first < keys; first += kTileRows) {
    __syncthreads();  // the tiles before have been used
    load_rows(k_tile, k, first, s.dim);
    load_rows(v_tile, v, first, s.value_dim);
    rules.load_key_mask(first);
    await_tiles();
    const int seen[2] = {rules.keys_seen(query[0], first), rules.keys_seen(query[1], first)};
#pragma unroll 1
    for (int half = 0; half < kTileRows; half += 8 * kHalf) {
      Fragments<kHalf> weights;
      multiply_rows(weights, q_tile, k_tile, half);
      float best[2] = {highest[0], highest[1]};
#pragma unroll
      for (int n = 0; n < kHalf; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = half + n * 8 + 2 * at.t + i % 2;
          weights[n][i] = column < seen[i / 2]
                              ? rules.score(weights[n][i], query[i / 2], first + column, column)
                              : SING_HIDDEN;
          best[i / 2] = Maximum()(weights[n][i], best[i / 2]);
        }
      const uint32_t dropped = rules.dropped_by_queries(query[0], first + half);
      float shrink[2], base[2], part[2] = {};
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        best[r] = Maximum()(__shfl_xor_sync(0xffffffffu, best[r], 1), best[r]);
        best[r] = Maximum()(__shfl_xor_sync(0xffffffffu, best[r], 2), best[r]);
        base[r] = best[r] == SING_HIDDEN ? 0.0f : best[r];  // nothing seen: all weights are 0
        shrink[r] = fast_exp2(highest[r] - base[r]);
        highest[r] = best[r];
      }
#pragma unroll
      for (int n = 0; n < kHalf; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          weights[n][i] = fast_exp2(weights[n][i] - base[i / 2]);
          part[i / 2] += weights[n][i];
        }
        if constexpr (kExtras)
#pragma unroll
          for (int i = 0; i < 4; ++i) weights[n][i] *= rules.factor(dropped, 4 * n + i);
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        part[r] += __shfl_xor_sync(0xffffffffu, part[r], 1);
        part[r] += __shfl_xor_sync(0xffffffffu, part[r], 2);
        total[r] = total[r] * shrink[r] + part[r];
      }
#pragma unroll
      for (int n = 0; n < kParts; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[n][i] *= shrink[i / 2];
      add_weighted(sums, weights, v_tile, half / kSlice);
    }
  }
  float* const own_log_sum = log_sum + (work.b * s.heads + work.h) * s.queries;
  float factor[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const bool sees = highest[r] != SING_HIDDEN;
    factor[r] = sees ? 1 / total[r] : 0.0f;
    if (at.t == 0 && query[r] < s.queries)
      own_log_sum[query[r]] = sees ? (highest[r] + std::log2(total[r])) * kLn2 : SING_HIDDEN;
  }
  store_rows(head_of(out, out_strides, work.b, work.h), out_strides.row, s.queries, work.first,
             s.value_dim, sums, factor[0], factor[1], q_tile);
}

/// What backward has to know of the 64 queries of a tile.
struct QueryRows {
  float log_sum[kTileRows];  // in units of log 2; infinite where all weights are 0
  float delta[kTileRows];    // grad . out
};
SING_DEVICE void load_log_sums(QueryRows& rows, const float* log_sum, int64_t first,
                               int64_t queries) {
  if (threadIdx.x >= kTileRows) return;
  const int64_t i = first + threadIdx.x;
  const float x = i < queries ? log_sum[i] : SING_HIDDEN;
  rows.log_sum[threadIdx.x] = x == SING_HIDDEN ? INFINITY : x * kLog2e;
}

/// A block serves 64 keys. kWhole: they are all, so it also has the gradient of the queries.
template <bool kWhole, bool kExtras>
__global__ void __launch_bounds__(kTileThreads, 3)
    mma_grad_key_kernel(const bfloat16* q_data, const bfloat16* k_data, const bfloat16* v_data,
                        const bfloat16* out_data, const bfloat16* grad_data, const float* log_sum,
                        const float* delta, bfloat16* grad_q, bfloat16* grad_k, bfloat16* grad_v,
                        kernels::HeadStrides q_strides, kernels::HeadStrides k_strides,
                        kernels::HeadStrides v_strides, kernels::HeadStrides out_strides,
                        kernels::HeadStrides grad_strides, kernels::HeadStrides grad_q_strides,
                        kernels::HeadStrides grad_k_strides, kernels::HeadStrides grad_v_strides,
                        AttentionShape s) {
  __align__(16) __shared__ Tile k_tile;
  __align__(16) __shared__ Tile v_tile;
  __align__(16) __shared__ Tile q_tile;
  __align__(16) __shared__ Tile grad_tile;
  __align__(16) __shared__ Tile scores_tile;  // gradients of scores, keys by queries
  __shared__ QueryRows rows;
  const Work work = work_of(s, s.keys);
  const Lane at = lane_of();
  __shared__ float key_mask[kTileRows];
  Rules<kExtras> rules(s, work.b, work.h, key_mask);
  const HeadRows q{head_of(q_data, q_strides, work.b, work.h), q_strides.row, s.queries};
  const HeadRows k{head_of(k_data, k_strides, work.b, work.h), k_strides.row, s.keys};
  const HeadRows v{head_of(v_data, v_strides, work.b, work.h), v_strides.row, s.keys};
  const HeadRows out{head_of(out_data, out_strides, work.b, work.h), out_strides.row, s.queries};
  const HeadRows grad{head_of(grad_data, grad_strides, work.b, work.h), grad_strides.row,
                      s.queries};
  const int64_t head_rows = (work.b * s.heads + work.h) * s.queries;
  Sums key_sums = {}, value_sums = {};
  load_rows(k_tile, k, work.first, s.dim);
  load_rows(v_tile, v, work.first, s.value_dim);
  rules.load_key_mask(work.first);
  for (int64_t first = s.causal && !kWhole ? work.first : 0; first < s.queries;
       first += kTileRows) {
    __syncthreads();  // the tiles before have been used
    load_rows(q_tile, q, first, s.dim);
    load_rows(grad_tile, grad, first, s.value_dim);
    load_log_sums(rows, log_sum + head_rows, first, s.queries);
    if constexpr (kWhole) {
      row_products(rows.delta, grad_tile, out, first, s.value_dim, nullptr);
    } else {
      if (threadIdx.x < kTileRows)
        rows.delta[threadIdx.x] =
            first + threadIdx.x < s.queries ? delta[head_rows + first + threadIdx.x] : 0.0f;
    }
    await_tiles();
    const int seen_from[2] = {rules.first_query(work.first + at.row, first),
                              rules.first_query(work.first + at.row + 8, first)};
#pragma unroll 1
    for (int half = 0; half < kTileRows; half += 8 * kHalf) {
      Fragments<kHalf> weights, products;
      multiply_rows(weights, k_tile, q_tile, half);
      multiply_rows(products, v_tile, grad_tile, half);
      const uint32_t dropped = rules.dropped_by_keys(first + half, work.first + at.warp * kSlice);
#pragma unroll
      for (int n = 0; n < kHalf; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int column = half + n * 8 + 2 * at.t;
          const int64_t j = work.first + at.row + 8 * r, i = first + column;
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            const float factor = rules.factor(dropped, 4 * n + 2 * r + c);
            // Queries that do not exist have an infinite log-sum, but no mask either.
            const bool visible = column + c >= seen_from[r] && (!kExtras || i + c < s.queries);
            const float score = visible
                                    ? rules.score(weights[n][2 * r + c], i + c, j, at.row + 8 * r)
                                    : SING_HIDDEN;
            const float w = fast_exp2(score - rows.log_sum[column + c]);
            weights[n][2 * r + c] = w * factor;
            products[n][2 * r + c] = w * (products[n][2 * r + c] * factor - rows.delta[column + c]);
          }
          if constexpr (kWhole)
            store_pair(&scores_tile[at.row + 8 * r][column], products[n][2 * r],
                       products[n][2 * r + 1]);
        }
      add_weighted(value_sums, weights, grad_tile, half / kSlice);
      add_weighted(key_sums, products, q_tile, half / kSlice);
    }
    if constexpr (kWhole) {
      __syncthreads();
      Sums query_sums = {};
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice) {
        uint32_t a[4];
        load_a_transposed(a, scores_tile, slice);
        add_by_columns(query_sums, a, k_tile, slice);
      }
      store_rows(head_of(grad_q, grad_q_strides, work.b, work.h), grad_q_strides.row, s.queries,
                 first, s.dim, query_sums, s.scale, s.scale, q_tile);
    }
  }
  await_tiles();  // without a query nobody has waited
  store_rows(head_of(grad_k, grad_k_strides, work.b, work.h), grad_k_strides.row, s.keys,
             work.first, s.dim, key_sums, s.scale, s.scale, k_tile);
  store_rows(head_of(grad_v, grad_v_strides, work.b, work.h), grad_v_strides.row, s.keys,
             work.first, s.value_dim, value_sums, 1.0f, 1.0f, v_tile);
}

/// A block serves 64 queries; it also leaves their delta for the kernel by keys.
template <bool kExtras>
__global__ void __launch_bounds__(kTileThreads, kExtras ? 3 : 4)
    mma_grad_query_kernel(const bfloat16* q_data, const bfloat16* k_data, const bfloat16* v_data,
                          const bfloat16* out_data, const bfloat16* grad_data, const float* log_sum,
                          float* delta, bfloat16* grad_q, kernels::HeadStrides q_strides,
                          kernels::HeadStrides k_strides, kernels::HeadStrides v_strides,
                          kernels::HeadStrides out_strides, kernels::HeadStrides grad_strides,
                          kernels::HeadStrides grad_q_strides, AttentionShape s) {
  __align__(16) __shared__ Tile q_tile;
  __align__(16) __shared__ Tile grad_tile;
  __align__(16) __shared__ Tile k_tile;
  __align__(16) __shared__ Tile v_tile;
  __shared__ QueryRows rows;
  const Work work = work_of(s, s.queries);
  const Lane at = lane_of();
  __shared__ float key_mask[kTileRows];
  Rules<kExtras> rules(s, work.b, work.h, key_mask);
  const HeadRows q{head_of(q_data, q_strides, work.b, work.h), q_strides.row, s.queries};
  const HeadRows k{head_of(k_data, k_strides, work.b, work.h), k_strides.row, s.keys};
  const HeadRows v{head_of(v_data, v_strides, work.b, work.h), v_strides.row, s.keys};
  const HeadRows out{head_of(out_data, out_strides, work.b, work.h), out_strides.row, s.queries};
  const HeadRows grad{head_of(grad_data, grad_strides, work.b, work.h), grad_strides.row,
                      s.queries};
  const int64_t head_rows = (work.b * s.heads + work.h) * s.queries;
  Sums query_sums = {};
  load_rows(q_tile, q, work.first, s.dim);
  load_rows(grad_tile, grad, work.first, s.value_dim);
  load_log_sums(rows, log_sum + head_rows, work.first, s.queries);
  row_products(rows.delta, grad_tile, out, work.first, s.value_dim, delta + head_rows);
  const int64_t last = work.first + kTileRows;
  const int64_t keys = s.causal && last < s.keys ? last : s.keys;
  for (int64_t first = 0; first < keys; first += kTileRows) {
    __syncthreads();
    load_rows(k_tile, k, first, s.dim);
    load_rows(v_tile, v, first, s.value_dim);
    rules.load_key_mask(first);
    await_tiles();
    const int seen[2] = {rules.keys_seen(work.first + at.row, first),
                         rules.keys_seen(work.first + at.row + 8, first)};
#pragma unroll 1
    for (int half = 0; half < kTileRows; half += 8 * kHalf) {
      Fragments<kHalf> weights, products;
      multiply_rows(weights, q_tile, k_tile, half);
      multiply_rows(products, grad_tile, v_tile, half);
      const uint32_t dropped = rules.dropped_by_queries(work.first + at.row, first + half);
#pragma unroll
      for (int n = 0; n < kHalf; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int row = at.row + 8 * r, column = half + n * 8 + 2 * at.t;
          const int64_t i = work.first + row, j = first + column;
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            const float factor = rules.factor(dropped, 4 * n + 2 * r + c);
            const float score = column + c < seen[r]
                                    ? rules.score(weights[n][2 * r + c], i, j + c, column + c)
                                    : SING_HIDDEN;
            const float w = fast_exp2(score - rows.log_sum[row]);
            products[n][2 * r + c] = w * (products[n][2 * r + c] * factor - rows.delta[row]);
          }
        }
      add_weighted(query_sums, products, k_tile, half / kSlice);
    }
  }
  store_rows(head_of(grad_q, grad_q_strides, work.b, work.h), grad_q_strides.row, s.queries,
             work.first, s.dim, query_sums, s.scale, s.scale, q_tile);
}

bool fits(const kernels::AttentionProblem& p) {
  return p.dtype == DType::bf16 && p.dim > 0 && p.dim <= kTileDim && p.dim % 8 == 0 &&
         p.value_dim > 0 && p.value_dim <= kTileDim && p.value_dim % 8 == 0 && p.queries > 0 &&
         p.keys > 0 && p.batch * p.heads > 0;
}
bool fits(const void* data, const kernels::HeadStrides& s) {
  return aligned_for_packs(16, data) && s.batch % 8 == 0 && s.head % 8 == 0 && s.row % 8 == 0;
}

Grid grid_of(const kernels::AttentionProblem& p, int64_t rows) {
  return {dim3(static_cast<unsigned>(p.batch * p.heads * ((rows + kTileRows - 1) / kTileRows))),
          dim3(kTileThreads)};
}

bool has_extras(const kernels::AttentionProblem& p) {
  return p.mask != nullptr || p.drop_below != 0;
}

template <class T>
const bfloat16* in(const T* data) {
  return static_cast<const bfloat16*>(data);
}
bfloat16* to(void* data) {
  return static_cast<bfloat16*>(data);
}

template <bool kExtras>
void backward(const kernels::AttentionBackwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  const AttentionShape shape = attention_shape(p);
  const auto* log_sum = static_cast<const float*>(a.log_sum);
  const auto by_keys = [&](auto kernel, const float* delta) {
    launch(kernel, grid_of(p, p.keys), a.stream, in(a.q), in(a.k), in(a.v), in(a.out), in(a.grad),
           log_sum, delta, to(a.grad_q), to(a.grad_k), to(a.grad_v), a.q_strides, a.k_strides,
           a.v_strides, a.out_strides, a.grad_strides, a.grad_q_strides, a.grad_k_strides,
           a.grad_v_strides, shape);
  };
  if (p.keys <= kTileRows) return by_keys(mma_grad_key_kernel<true, kExtras>, nullptr);
  const Workspace workspace(static_cast<size_t>(p.batch * p.heads * p.queries) * sizeof(float),
                            a.stream);
  launch(mma_grad_query_kernel<kExtras>, grid_of(p, p.queries), a.stream, in(a.q), in(a.k), in(a.v),
         in(a.out), in(a.grad), log_sum, workspace.as<float>(), to(a.grad_q), a.q_strides,
         a.k_strides, a.v_strides, a.out_strides, a.grad_strides, a.grad_q_strides, shape);
  by_keys(mma_grad_key_kernel<false, kExtras>, workspace.as<float>());
}

}  // namespace

bool mma_attention_forward(const kernels::AttentionForwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  if (!fits(p) || !fits(a.q, a.q_strides) || !fits(a.k, a.k_strides) || !fits(a.v, a.v_strides) ||
      !fits(a.out, a.out_strides))
    return false;
  const auto run = [&](auto kernel) {
    launch(kernel, grid_of(p, p.queries), a.stream, in(a.q), in(a.k), in(a.v), to(a.out),
           static_cast<float*>(a.log_sum), a.q_strides, a.k_strides, a.v_strides, a.out_strides,
           attention_shape(p));
  };
  has_extras(p) ? run(mma_forward_kernel<true>) : run(mma_forward_kernel<false>);
  return true;
}

bool mma_attention_backward(const kernels::AttentionBackwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  if (!fits(p) || !fits(a.q, a.q_strides) || !fits(a.k, a.k_strides) || !fits(a.v, a.v_strides) ||
      !fits(a.out, a.out_strides) || !fits(a.grad, a.grad_strides) ||
      !fits(a.grad_q, a.grad_q_strides) || !fits(a.grad_k, a.grad_k_strides) ||
      !fits(a.grad_v, a.grad_v_strides))
    return false;
  has_extras(p) ? backward<true>(a) : backward<false>(a);
  return true;
}

}  // namespace sing::cuda
