// Attention in bf16 on tensor cores, for heads of up to 64: flash attention (Dao et al. 2022) in
// tiles of 64 queries by 64 keys. A block of four warps serves 64 queries in forward, and the up to
// 64 keys of a head in backward; attention_mma_grad.cu has backward for more.
#include <algorithm>

#include "kernels/cuda/attention_rules.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

struct ForwardOperands {
  const bfloat16 *q, *k, *v;
  bfloat16* out;
  float* log_sum;
  kernels::HeadStrides q_strides, k_strides, v_strides, out_strides;
};

/// How far above the number that is taken from them scores may come, in powers of two, before the
/// number is raised and all sums are scaled. Weights of up to 2^8 are as exact as weights of 1.
constexpr float kSlack = 8;

/// Below every score, yet finite: 2 to the power of (SING_HIDDEN - kNothing) is 0.
constexpr float kNothing = -3e38f;

/// What a warp has of its strips of 16 queries.
template <int kStrips>
struct Softmax {
  Fragments<kParts> sums[kStrips];
  float total[kStrips][2];  // of weights: this lane's
  float base[kStrips][2];   // what is taken from scores, in units of log 2; kNothing at first
};

/// Raises the bases where a score of the lane's quad is above the limit.
template <int kStrips>
SING_DEVICE void raise(Softmax<kStrips>& own, const float (&best)[kStrips][2]) {
#pragma unroll
  for (int m = 0; m < kStrips; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float highest = best[m][r];
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
      const float base = highest > own.base[m][r] + kSlack ? highest : own.base[m][r];
      const float shrink = fast_exp2(own.base[m][r] - base);
      own.base[m][r] = base;
      own.total[m][r] *= shrink;
#pragma unroll
      for (int n = 0; n < kParts; ++n) {
        own.sums[m][n][2 * r] *= shrink;
        own.sums[m][n][2 * r + 1] *= shrink;
      }
    }
}

/// A warp has kStrips strips of 16 queries, a block four warps. While it works with one tile of
/// keys the next one is being copied.
template <int kStrips, bool kExtras>
__global__ void __launch_bounds__(kTileThreads, (kStrips == 1 ? 4 : 3) - kExtras)
    mma_forward_kernel(ForwardOperands o, AttentionShape s) {
  constexpr int kWarpRows = kStrips * kSlice, kBlockRows = kStrips * kTileRows;
  using Row = bfloat16[kPitch];
  SING_DYNAMIC_SHARED(Row, rows);  // q, then k and v of one or two tiles
  __shared__ float key_mask[2][kTileRows];
  const int queries = static_cast<int>(s.queries), keys = static_cast<int>(s.keys);
  const int blocks = (queries + kBlockRows - 1) / kBlockRows, block = static_cast<int>(blockIdx.x);
  const int head = block / blocks, heads = static_cast<int>(s.heads);
  const int b = head / heads, h = head % heads, first_query = block % blocks * kBlockRows;
  const HeadRows q{head_of(o.q, o.q_strides, b, h), o.q_strides.row, queries};
  Rules<kExtras> rules(s, b, h, key_mask[0]);
  // What is wanted once per tile, since registers are short: b, h, and where the keys that a query
  // of the block may see end.
  __shared__ int place[3];
  if (threadIdx.x == 0) {
    const int last = first_query + kBlockRows;
    place[0] = b;
    place[1] = h;
    place[2] = s.causal && last < keys ? last : keys;
  }
  const auto begin_keys = [&](int head_b, int head_h, int first, int stage) {
    const HeadRows k{head_of(o.k, o.k_strides, head_b, head_h), o.k_strides.row, keys};
    const HeadRows v{head_of(o.v, o.v_strides, head_b, head_h), o.v_strides.row, keys};
    Rows const to = rows + kBlockRows + 2 * stage * kTileRows;
    load_rows(to, k, again(first), s.dim);
    load_rows(to + kTileRows, v, again(first), s.value_dim);
    rules.key_mask = key_mask[stage];
    rules.load_key_mask(first);
  };
#pragma unroll
  for (int m = 0; m < kStrips; ++m)
    load_rows(rows + m * kTileRows, q, first_query + m * kTileRows, s.dim);
  begin_keys(b, h, 0, 0);

  const int thread = again(static_cast<int>(threadIdx.x));
  const int lane = thread % kWarp, g = lane / 4, t = lane % 4;
  const int own = thread / kWarp * kWarpRows;  // the warp's first row
  const int own_query = first_query + own;
  Softmax<kStrips> softmax;
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      softmax.total[m][r] = 0;
      softmax.base[m][r] = kNothing;
    }
#pragma unroll
    for (int n = 0; n < kParts; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) softmax.sums[m][n][i] = 0;
  }
  await_tiles();
  // Fragments of q; the last ones of two strips would need registers that are not there.
  constexpr int kKept = kSlices;
  const auto load_q = [&](uint32_t(&part)[4], int m, int slice) {
    load_matrices<false>(part, &rows[own + m * kSlice + lane % 16][slice * kSlice + lane / 16 * 8]);
  };
  uint32_t q_parts[kStrips][kKept][4];
#pragma unroll
  for (int m = 0; m < kStrips; ++m)
#pragma unroll
    for (int slice = 0; slice < kKept; ++slice) load_q(q_parts[m][slice], m, slice);

  int stage = 0;
  for (int first = 0; first < place[2]; first += kTileRows, stage ^= 1) {
    if (first + kTileRows < place[2])  // into what nobody has used since the last barrier
      begin_keys(place[0], place[1], first + kTileRows, stage ^ 1);
    // The keys that a query of the warp may see.
    const int own_first = again(own_query), own_last = own_first + kWarpRows;
    const int own_end = own_first >= queries ? 0 : s.causal && own_last < keys ? own_last : keys;
    rules.key_mask = key_mask[stage];
    ConstRows const k_tile = rows + kBlockRows + 2 * stage * kTileRows;
#pragma unroll 1
    for (int half = 0; half < kTileRows && first + half < own_end; half += 8 * kHalf) {
      Fragments<kHalf> scores[kStrips] = {};
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice) {
        uint32_t left[kStrips][4];
#pragma unroll
        for (int m = 0; m < kStrips; ++m)
          if (slice < kKept)
#pragma unroll
            for (int i = 0; i < 4; ++i) left[m][i] = q_parts[m][slice][i];
          else
            load_q(left[m], m, slice);
#pragma unroll
        for (int n = 0; n < kHalf; n += 2) {
          uint32_t right[4];
          load_matrices<false>(
              right,
              &k_tile[half + n * 8 + lane / 16 * 8 + lane % 8][slice * kSlice + lane / 8 % 2 * 8]);
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
            multiply_add(scores[m][n], left[m], right[0], right[1]);
            multiply_add(scores[m][n + 1], left[m], right[2], right[3]);
          }
        }
      }
      const int key = first + half, last_key = key + 8 * kHalf - 1;
      if (kExtras || last_key >= keys || (s.causal && last_key > own_query))
#pragma unroll
        for (int m = 0; m < kStrips; ++m)
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const int i = own_query + m * kSlice + 8 * r + g;
            // How many columns from the lane's first one on the query sees.
            const int seen = (s.causal && i < keys ? i + 1 : keys) - key - 2 * t;
#pragma unroll
            for (int n = 0; n < kHalf; ++n)
#pragma unroll
              for (int c = 0; c < 2; ++c) {
                float& score = scores[m][n][2 * r + c];
                if (n * 8 + c >= seen || (kExtras && i >= queries))  // which have no mask to read
                  score = SING_HIDDEN;
                else if constexpr (kExtras)
                  score = rules.score(score, i, key + n * 8 + 2 * t + c, half + n * 8 + 2 * t + c);
              }
          }
      const float unit = kExtras ? 1.0f : rules.to_log2;
      float best[kStrips][2];
      bool rises = false;
#pragma unroll
      for (int m = 0; m < kStrips; ++m)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          best[m][r] = scores[m][0][2 * r];
#pragma unroll
          for (int n = 0; n < kHalf; ++n)
            best[m][r] = fmaxf(best[m][r], fmaxf(scores[m][n][2 * r], scores[m][n][2 * r + 1]));
          best[m][r] *= unit;
          rises |= best[m][r] > softmax.base[m][r] + kSlack;
        }
      if (__any_sync(0xffffffffu, rises)) raise(softmax, best);
      uint32_t dropped[kStrips];
#pragma unroll
      for (int m = 0; m < kStrips; ++m)
        dropped[m] = rules.dropped_by_queries(own_query + m * kSlice + g, key);
#pragma unroll
      for (int slice = 0; slice < kHalf / 2; ++slice) {
        uint32_t weights[kStrips][4];  // a fragment of A
#pragma unroll
        for (int m = 0; m < kStrips; ++m)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int n = 2 * slice + i / 2, r = i % 2;
            const float base = softmax.base[m][r];
            const float w0 = fast_exp2(scores[m][n][2 * r] * unit - base);
            const float w1 = fast_exp2(scores[m][n][2 * r + 1] * unit - base);
            softmax.total[m][r] += w0 + w1;
            weights[m][i] = pack_bf16(w0, w1) & rules.kept_pair(dropped[m], 4 * n + 2 * r);
          }
        add_strips(softmax.sums, weights, k_tile + kTileRows + half + slice * kSlice);
      }
    }
    if (first + kTileRows < place[2]) await_tiles();
  }

  const int own_b = place[0], own_h = place[1];
  float* const own_log_sum = o.log_sum + (own_b * s.heads + own_h) * s.queries;
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = softmax.total[m][r];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      const int i = own_query + m * kSlice + 8 * r + g;
      const bool sees = total != 0;  // so also when it is NaN
      factor[r] = sees ? s.keep_scale / total : 0.0f;
      if (t == 0 && i < queries)
        own_log_sum[i] = sees ? (softmax.base[m][r] + std::log2(total)) * kLn2 : SING_HIDDEN;
    }
    // Nobody else reads these rows of q, and the warp has read them.
    store_strip(head_of(o.out, o.out_strides, own_b, own_h), o.out_strides.row, queries,
                own_query + m * kSlice, s.value_dim, softmax.sums[m], factor[0], factor[1],
                rows + own + m * kSlice);
  }
}

/// What backward has to know of the 64 queries of a tile.
struct QueryRows {
  alignas(8) float log_sum[kTileRows];  // in units of log 2; infinite where all weights are 0
  alignas(8) float delta[kTileRows];    // grad . out
};
SING_DEVICE void load_log_sums(QueryRows& rows, const float* log_sum, int64_t first,
                               int64_t queries) {
  if (threadIdx.x >= kTileRows) return;
  const int64_t i = first + threadIdx.x;
  const float x = i < queries ? log_sum[i] : SING_HIDDEN;
  rows.log_sum[threadIdx.x] = x == SING_HIDDEN ? INFINITY : x * kLog2e;
}

/// A block serves one head of at most 64 keys.
template <bool kExtras>
__global__ void __launch_bounds__(kTileThreads, kExtras ? 3 : 4)
    mma_grad_tile_kernel(const bfloat16* q_data, const bfloat16* k_data, const bfloat16* v_data,
                         const bfloat16* out_data, const bfloat16* grad_data, const float* log_sum,
                         bfloat16* grad_q, bfloat16* grad_k, bfloat16* grad_v,
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
  for (int64_t first = 0; first < s.queries; first += kTileRows) {
    __syncthreads();  // the tiles before have been used
    load_rows(q_tile, q, first, s.dim);
    load_rows(grad_tile, grad, first, s.value_dim);
    load_log_sums(rows, log_sum + head_rows, first, s.queries);
    row_products(rows.delta, grad_tile, out, first, s.value_dim);
    await_tiles();
    const int keys = static_cast<int>(s.keys), own = at.warp * kSlice;
    const bool all = !kExtras && own + kSlice <= keys && (!s.causal || first >= own + kSlice - 1);
#pragma unroll 1
    for (int half = 0; half < kTileRows; half += 8 * kHalf) {
      const uint32_t dropped = rules.dropped_by_keys(first + half, own);
      uint32_t weights[kHalf][2];  // in bf16, see attention_one_pass.h
      Fragments<kHalf> products;
      multiply_rows(products, k_tile, q_tile, half);
      if (!all)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int j = at.row + 8 * r;
          const int seen_from = rules.first_query(j, first);
#pragma unroll
          for (int n = 0; n < kHalf; ++n)
#pragma unroll
            for (int c = 0; c < 2; ++c) {
              const int column = half + n * 8 + 2 * at.t + c;
              const int64_t i = first + column;
              float& score = products[n][2 * r + c];
              // Queries that do not exist have no mask to read.
              if (column < seen_from || (kExtras && i >= s.queries))
                score = SING_HIDDEN;
              else if constexpr (kExtras)
                score = rules.score(score, i, j, j);
            }
        }
      const float unit = kExtras ? 1.0f : rules.to_log2;
#pragma unroll
      for (int n = 0; n < kHalf; ++n) {
        const float2 sums =
            *reinterpret_cast<const float2*>(&rows.log_sum[half + n * 8 + 2 * at.t]);
#pragma unroll
        for (int r = 0; r < 2; ++r)
          weights[n][r] = pack_bf16(fast_exp2(products[n][2 * r] * unit - sums.x),
                                    fast_exp2(products[n][2 * r + 1] * unit - sums.y));
      }
#pragma unroll
      for (int slice = 0; slice < kHalf / 2; ++slice) {
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int n = 2 * slice + i / 2, r = i % 2;
          a[i] = weights[n][r] & rules.kept_pair(dropped, 4 * n + 2 * r);
        }
        add_by_columns(value_sums, a, grad_tile, half / kSlice + slice);
      }
      multiply_rows(products, v_tile, grad_tile, half);
#pragma unroll
      for (int n = 0; n < kHalf; ++n) {
        const int column = half + n * 8 + 2 * at.t;
        const float2 delta = *reinterpret_cast<const float2*>(&rows.delta[column]);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int place = 4 * n + 2 * r;
          weights[n][r] =
              pack_bf16(float_of(weights[n][r] << 16) *
                            (products[n][2 * r] * rules.factor(dropped, place) - delta.x),
                        float_of(weights[n][r] & 0xffff0000u) *
                            (products[n][2 * r + 1] * rules.factor(dropped, place + 1) - delta.y));
          store_packed(&scores_tile[at.row + 8 * r][column], weights[n][r]);
        }
      }
#pragma unroll
      for (int slice = 0; slice < kHalf / 2; ++slice) {
        const uint32_t a[4] = {weights[2 * slice][0], weights[2 * slice][1],
                               weights[2 * slice + 1][0], weights[2 * slice + 1][1]};
        add_by_columns(key_sums, a, q_tile, half / kSlice + slice);
      }
    }
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
  const float kept = kExtras ? s.keep_scale : 1.0f;
  __syncthreads();  // the tiles that follow as stages have been used
  store_rows(head_of(grad_k, grad_k_strides, work.b, work.h), grad_k_strides.row, s.keys,
             work.first, s.dim, key_sums, s.scale, s.scale, k_tile);
  store_rows(head_of(grad_v, grad_v_strides, work.b, work.h), grad_v_strides.row, s.keys,
             work.first, s.value_dim, value_sums, kept, kept, v_tile);
}

bool fits(const kernels::AttentionProblem& p) {
  return p.dtype == DType::bf16 && p.dim > 0 && p.dim <= kTileDim && p.dim % 8 == 0 &&
         p.value_dim > 0 && p.value_dim <= kTileDim && p.value_dim % 8 == 0 && p.queries > 0 &&
         p.keys > 0 && p.batch * p.heads > 0 &&
         p.scale > 0 &&  // the highest product is the highest score
         // Kernels count queries, keys and their blocks in 32 bits.
         p.batch * p.heads * (std::max(p.queries, p.keys) / kTileRows + 1) * kTileRows <= INT32_MAX;
}
bool fits(const void* data, const kernels::HeadStrides& s) {
  return aligned_for_packs(16, data) && s.batch % 8 == 0 && s.head % 8 == 0 && s.row % 8 == 0;
}

Grid grid_of(const kernels::AttentionProblem& p, int64_t rows, int64_t block_rows) {
  return {dim3(static_cast<unsigned>(p.batch * p.heads * ((rows + block_rows - 1) / block_rows))),
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

template <int kStrips, bool kExtras>
void forward_strips(const kernels::AttentionForwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  const int64_t tiles = kStrips + (p.keys > kTileRows ? 4 : 2);
  const auto kernel = mma_forward_kernel<kStrips, kExtras>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>((kStrips + 4) * sizeof(Tile))),
        "shared memory for attention");
  const ForwardOperands o{
      in(a.q),     in(a.k),     in(a.v),     to(a.out),    static_cast<float*>(a.log_sum),
      a.q_strides, a.k_strides, a.v_strides, a.out_strides};
  Grid grid = grid_of(p, p.queries, kStrips * kTileRows);
  grid.shared = static_cast<size_t>(tiles) * sizeof(Tile);
  launch(kernel, grid, a.stream, o, attention_shape(p));
}
template <bool kExtras>
void forward(const kernels::AttentionForwardArgs& a) {
  // Two strips halve what is read of shared memory, and leave warps idle where queries are few.
  a.problem.queries > kTileRows ? forward_strips<2, kExtras>(a) : forward_strips<1, kExtras>(a);
}

template <bool kExtras>
void backward(const kernels::AttentionBackwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  launch(mma_grad_tile_kernel<kExtras>, grid_of(p, p.keys, kTileRows), a.stream, in(a.q), in(a.k),
         in(a.v), in(a.out), in(a.grad), static_cast<const float*>(a.log_sum), to(a.grad_q),
         to(a.grad_k), to(a.grad_v), a.q_strides, a.k_strides, a.v_strides, a.out_strides,
         a.grad_strides, a.grad_q_strides, a.grad_k_strides, a.grad_v_strides, attention_shape(p));
}

}  // namespace

bool mma_attention_forward(const kernels::AttentionForwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  if (!fits(p) || !fits(a.q, a.q_strides) || !fits(a.k, a.k_strides) || !fits(a.v, a.v_strides) ||
      !fits(a.out, a.out_strides))
    return false;
  has_extras(p) ? forward<true>(a) : forward<false>(a);
  return true;
}

bool mma_attention_backward(const kernels::AttentionBackwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  if (!fits(p) || !fits(a.q, a.q_strides) || !fits(a.k, a.k_strides) || !fits(a.v, a.v_strides) ||
      !fits(a.out, a.out_strides) || !fits(a.grad, a.grad_strides) ||
      !fits(a.grad_q, a.grad_q_strides) || !fits(a.grad_k, a.grad_k_strides) ||
      !fits(a.grad_v, a.grad_v_strides))
    return false;
  if (p.keys > kTileRows)
    mma_attention_one_pass(a);
  else
    has_extras(p) ? backward<true>(a) : backward<false>(a);
  return true;
}

}  // namespace sing::cuda
