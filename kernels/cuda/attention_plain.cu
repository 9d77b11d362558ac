// Attention for any layout and dimensions in f32 arithmetic (flash attention: Dao et al. 2022; its
// backward pass once by queries and once by keys, so that no sum has two writers). Weights are
// never written to memory. One block serves 32 rows of one head and 64 columns of the result.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {
namespace {

constexpr int kRows = 32;      // queries or keys of a tile
constexpr int kColumns = 64;   // of the result, per block
constexpr int kStep = 32;      // columns of a product's operands at a time
constexpr int kThreads = 256;  // 8 per row
constexpr int kPerRow = kThreads / kRows;
constexpr int kScores = kRows / kPerRow;   // of a thread in a tile of 32 x 32
constexpr int kSums = kColumns / kPerRow;  // of a thread in a tile of 32 x 64

/// Rows of one head; `row` elements apart.
template <class T>
struct Rows {
  T* base;
  int64_t row, count;
};
template <class T>
SING_DEVICE Rows<T> rows_of(T* data, const kernels::HeadStrides& strides, int64_t b, int64_t h,
                            int64_t count) {
  return {data + b * strides.batch + h * strides.head, strides.row, count};
}

/// Shared memory of a block.
struct Tiles {
  float x[kRows][kStep + 1], y[kRows][kStep + 1];
  float weights[2][kRows][kRows + 1];
  float values[kRows][kColumns];
};

/// What a thread is: one row of a tile, and every eighth column from `lane`.
struct Place {
  int row, lane;
};
SING_DEVICE Place place() {
  const int t = static_cast<int>(threadIdx.x);
  return {t / kPerRow, t % kPerRow};
}

template <int kWidth, class T>
SING_DEVICE void load_tile(float* to, int pitch, const Rows<const T>& from, int64_t first,
                           int64_t column, int64_t columns) {
#pragma unroll
  for (int i = 0; i < kRows * kWidth / kThreads; ++i) {
    const int t = static_cast<int>(threadIdx.x) + i * kThreads;
    const int r = t / kWidth, c = t % kWidth;
    const bool inside = first + r < from.count && column + c < columns;
    to[r * pitch + c] = inside ? to_value(from.base[(first + r) * from.row + column + c]) : 0.0f;
  }
}

/// The dot products of a thread, to its own places in a tile: to[row][lane + 8 j] =
/// x[x_first + row] . y[y_first + lane + 8 j].
template <class T>
SING_DEVICE void dot_tile(Tiles& tiles, float (&to)[kRows][kRows + 1], const Rows<const T>& x,
                          int64_t x_first, const Rows<const T>& y, int64_t y_first, int64_t dim) {
  const Place at = place();
  float dots[kScores] = {};
  for (int64_t step = 0; step < dim; step += kStep) {
    __syncthreads();
    load_tile<kStep>(&tiles.x[0][0], kStep + 1, x, x_first, step, dim);
    load_tile<kStep>(&tiles.y[0][0], kStep + 1, y, y_first, step, dim);
    __syncthreads();
#pragma unroll 8
    for (int d = 0; d < kStep; ++d) {
      const float left = tiles.x[at.row][d];
#pragma unroll
      for (int j = 0; j < kScores; ++j) dots[j] += left * tiles.y[at.lane + kPerRow * j][d];
    }
  }
  __syncthreads();  // what lies there has been used
#pragma unroll
  for (int j = 0; j < kScores; ++j) to[at.row][at.lane + kPerRow * j] = dots[j];
}

/// sums[j] += sum over the rows r of a tile: weights[row][r] * values[first + r][column + lane +
/// 8j].
template <class T>
SING_DEVICE void add_products(Tiles& tiles, float (&sums)[kSums],
                              const float (&weights)[kRows][kRows + 1], const Rows<const T>& values,
                              int64_t first, int64_t column, int64_t columns) {
  const Place at = place();
  __syncthreads();  // weights are complete, and the values before have been used
  load_tile<kColumns>(&tiles.values[0][0], kColumns, values, first, column, columns);
  __syncthreads();
#pragma unroll 8
  for (int r = 0; r < kRows; ++r) {
    const float w = weights[at.row][r];
#pragma unroll
    for (int j = 0; j < kSums; ++j) sums[j] += w * tiles.values[r][at.lane + kPerRow * j];
  }
}

template <class T>
SING_DEVICE void store_sums(const Rows<T>& to, const float (&sums)[kSums], float factor, int64_t i,
                            int64_t column, int64_t columns) {
  if (i >= to.count) return;
#pragma unroll
  for (int j = 0; j < kSums; ++j) {
    const int64_t c = column + place().lane + kPerRow * j;
    if (c < columns) to.base[i * to.row + c] = from_value<T>(sums[j] * factor);
  }
}

/// The combination over the eight threads of a row, in each of them.
template <class Combine>
SING_DEVICE float row_reduce(float value, Combine combine) {
#pragma unroll
  for (int offset = kPerRow / 2; offset > 0; offset /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

/// Head and first row of a block: tiles of one head are neighbours.
struct Work {
  int64_t b, h, first, column;
};
SING_DEVICE Work work_of(const AttentionShape& s, int64_t rows) {
  const int64_t tiles = (rows + kRows - 1) / kRows;
  const int64_t head = blockIdx.x / tiles;
  return {head / s.heads, head % s.heads, blockIdx.x % tiles * kRows,
          static_cast<int64_t>(blockIdx.y) * kColumns};
}

/// The keys that queries up to `last` can see.
SING_DEVICE int64_t seen_keys(const AttentionShape& s, int64_t last) {
  return s.causal && last + 1 < s.keys ? last + 1 : s.keys;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    forward_kernel(const T* q_data, const T* k_data, const T* v_data, T* out_data, float* log_sum,
                   kernels::HeadStrides q_strides, kernels::HeadStrides k_strides,
                   kernels::HeadStrides v_strides, kernels::HeadStrides out_strides,
                   AttentionShape s) {
  __shared__ Tiles tiles;
  const Work work = work_of(s, s.queries);
  const Place at = place();
  const auto q = rows_of(q_data, q_strides, work.b, work.h, s.queries);
  const auto k = rows_of(k_data, k_strides, work.b, work.h, s.keys);
  const auto v = rows_of(v_data, v_strides, work.b, work.h, s.keys);
  const PhiloxKey key = philox_key_of(s.key);
  const int64_t i = work.first + at.row;
  float largest = SING_HIDDEN, total = 0, sums[kSums] = {};
  const int64_t keys = seen_keys(s, work.first + kRows - 1);
  for (int64_t first = 0; first < keys; first += kRows) {
    dot_tile(tiles, tiles.weights[0], q, work.first, k, first, s.dim);
    float* const scores = &tiles.weights[0][at.row][at.lane];
    float highest = largest;
#pragma unroll 1
    for (int c = 0; c < kRows; c += kPerRow) {
      const int64_t j = first + at.lane + c;
      const float added =
          i < s.queries && j < s.keys ? attention_mask(s, work.b, work.h, i, j) : SING_HIDDEN;
      scores[c] = added == SING_HIDDEN ? SING_HIDDEN : s.scale * scores[c] + added;
      highest = Maximum()(scores[c], highest);
    }
    highest = row_reduce(highest, Maximum());
    const bool sees = highest != SING_HIDDEN;
    const float shrink = sees ? std::exp(largest - highest) : 1.0f;
    largest = highest;
    float part = 0;
#pragma unroll 1
    for (int c = 0; c < kRows; c += kPerRow) {
      float w = sees ? std::exp(scores[c] - highest) : 0.0f;
      part += w;
      w *= attention_kept(s, key, work.b, work.h, i, first + at.lane + c);
      scores[c] = w;
    }
    total = total * shrink + row_reduce(part, Sum());
#pragma unroll
    for (float& x : sums) x *= shrink;
    add_products(tiles, sums, tiles.weights[0], v, first, work.column, s.value_dim);
  }
  const bool sees = largest != SING_HIDDEN;
  store_sums(rows_of(out_data, out_strides, work.b, work.h, s.queries), sums,
             sees ? 1 / total : 0.0f, i, work.column, s.value_dim);
  if (i < s.queries && at.lane == 0 && blockIdx.y == 0)
    log_sum[(work.b * s.heads + work.h) * s.queries + i] =
        sees ? largest + std::log(total) : SING_HIDDEN;
}

/// delta[b, h, i] = grad . out of a row: what softmax takes from the gradient of each weight.
template <class T>
__global__ void __launch_bounds__(kThreads)
    delta_kernel(const T* grad_data, const T* out_data, float* delta,
                 kernels::HeadStrides grad_strides, kernels::HeadStrides out_strides,
                 AttentionShape s) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const bool inside = row < s.batch * s.heads * s.queries;
  const int64_t i = row % s.queries, h = row / s.queries % s.heads, b = row / s.queries / s.heads;
  const T* grad = grad_data + b * grad_strides.batch + h * grad_strides.head + i * grad_strides.row;
  const T* out = out_data + b * out_strides.batch + h * out_strides.head + i * out_strides.row;
  float sum = 0;
  if (inside)
    for (int64_t d = threadIdx.x % kWarp; d < s.value_dim; d += kWarp)
      sum += to_value(grad[d]) * to_value(out[d]);
  sum = warp_reduce(sum);
  if (inside && threadIdx.x % kWarp == 0) delta[row] = sum;
}

/// A weight and its gradient, from the two products that they are made of.
struct Weight {
  float dropped, grad;  // with its share of dropout; of the scaled score
};
SING_DEVICE Weight weight_of(const AttentionShape& s, const PhiloxKey& key, int64_t b, int64_t h,
                             int64_t i, int64_t j, float score, float product, float log_sum,
                             float delta) {
  if (i >= s.queries || j >= s.keys) return {0, 0};
  const float added = attention_mask(s, b, h, i, j);
  if (added == SING_HIDDEN || log_sum == SING_HIDDEN) return {0, 0};
  const float w = std::exp(s.scale * score + added - log_sum);
  const float kept = attention_kept(s, key, b, h, i, j);
  return {w * kept, w * (product * kept - delta) * s.scale};
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    grad_query_kernel(const T* q_data, const T* k_data, const T* v_data, const T* grad_data,
                      const float* log_sum, const float* delta, T* grad_q,
                      kernels::HeadStrides q_strides, kernels::HeadStrides k_strides,
                      kernels::HeadStrides v_strides, kernels::HeadStrides grad_strides,
                      kernels::HeadStrides grad_q_strides, AttentionShape s) {
  __shared__ Tiles tiles;
  const Work work = work_of(s, s.queries);
  const Place at = place();
  const auto q = rows_of(q_data, q_strides, work.b, work.h, s.queries);
  const auto k = rows_of(k_data, k_strides, work.b, work.h, s.keys);
  const auto v = rows_of(v_data, v_strides, work.b, work.h, s.keys);
  const auto grad = rows_of(grad_data, grad_strides, work.b, work.h, s.queries);
  const PhiloxKey key = philox_key_of(s.key);
  const int64_t i = work.first + at.row;
  const int64_t row = (work.b * s.heads + work.h) * s.queries + i;
  const float own_log_sum = i < s.queries ? log_sum[row] : 0.0f;
  const float own_delta = i < s.queries ? delta[row] : 0.0f;
  float sums[kSums] = {};
  const int64_t keys = seen_keys(s, work.first + kRows - 1);
  for (int64_t first = 0; first < keys; first += kRows) {
    dot_tile(tiles, tiles.weights[0], q, work.first, k, first, s.dim);
    dot_tile(tiles, tiles.weights[1], grad, work.first, v, first, s.value_dim);
#pragma unroll 1
    for (int j = at.lane; j < kRows; j += kPerRow)
      tiles.weights[0][at.row][j] =
          weight_of(s, key, work.b, work.h, i, first + j, tiles.weights[0][at.row][j],
                    tiles.weights[1][at.row][j], own_log_sum, own_delta)
              .grad;
    add_products(tiles, sums, tiles.weights[0], k, first, work.column, s.dim);
  }
  store_sums(rows_of(grad_q, grad_q_strides, work.b, work.h, s.queries), sums, 1.0f, i, work.column,
             s.dim);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    grad_key_kernel(const T* q_data, const T* k_data, const T* v_data, const T* grad_data,
                    const float* log_sum, const float* delta, T* grad_k, T* grad_v,
                    kernels::HeadStrides q_strides, kernels::HeadStrides k_strides,
                    kernels::HeadStrides v_strides, kernels::HeadStrides grad_strides,
                    kernels::HeadStrides grad_k_strides, kernels::HeadStrides grad_v_strides,
                    AttentionShape s) {
  __shared__ Tiles tiles;
  const Work work = work_of(s, s.keys);
  const Place at = place();
  const auto q = rows_of(q_data, q_strides, work.b, work.h, s.queries);
  const auto k = rows_of(k_data, k_strides, work.b, work.h, s.keys);
  const auto v = rows_of(v_data, v_strides, work.b, work.h, s.keys);
  const auto grad = rows_of(grad_data, grad_strides, work.b, work.h, s.queries);
  const PhiloxKey key = philox_key_of(s.key);
  const int64_t own = work.first + at.row;
  const int64_t rows = (work.b * s.heads + work.h) * s.queries;
  float key_sums[kSums] = {}, value_sums[kSums] = {};
  for (int64_t first = s.causal ? work.first : 0; first < s.queries; first += kRows) {
    dot_tile(tiles, tiles.weights[0], k, work.first, q, first, s.dim);
    dot_tile(tiles, tiles.weights[1], v, work.first, grad, first, s.value_dim);
#pragma unroll 1
    for (int r = at.lane; r < kRows; r += kPerRow) {
      const int64_t i = first + r;
      const bool inside = i < s.queries;
      const Weight w = weight_of(s, key, work.b, work.h, i, own, tiles.weights[0][at.row][r],
                                 tiles.weights[1][at.row][r], inside ? log_sum[rows + i] : 0.0f,
                                 inside ? delta[rows + i] : 0.0f);
      tiles.weights[0][at.row][r] = w.dropped;
      tiles.weights[1][at.row][r] = w.grad;
    }
    add_products(tiles, value_sums, tiles.weights[0], grad, first, work.column, s.value_dim);
    add_products(tiles, key_sums, tiles.weights[1], q, first, work.column, s.dim);
  }
  store_sums(rows_of(grad_k, grad_k_strides, work.b, work.h, s.keys), key_sums, 1.0f, own,
             work.column, s.dim);
  store_sums(rows_of(grad_v, grad_v_strides, work.b, work.h, s.keys), value_sums, 1.0f, own,
             work.column, s.value_dim);
}

/// Blocks for `rows` rows of each head and `columns` columns; {0} when there is nothing to do.
Grid grid_of(const kernels::AttentionProblem& p, int64_t rows, int64_t columns) {
  const int64_t blocks = p.batch * p.heads * ((rows + kRows - 1) / kRows);
  const int64_t across = columns > kColumns ? (columns + kColumns - 1) / kColumns : 1;
  return {dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(across)), dim3(kThreads)};
}

template <class T>
void forward(const kernels::AttentionForwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  const Grid grid = grid_of(p, p.queries, p.value_dim);
  if (grid.blocks.x == 0) return;
  launch(forward_kernel<T>, grid, a.stream, static_cast<const T*>(a.q), static_cast<const T*>(a.k),
         static_cast<const T*>(a.v), static_cast<T*>(a.out), static_cast<float*>(a.log_sum),
         a.q_strides, a.k_strides, a.v_strides, a.out_strides, attention_shape(p));
}

template <class T>
void backward(const kernels::AttentionBackwardArgs& a) {
  const kernels::AttentionProblem& p = a.problem;
  const AttentionShape shape = attention_shape(p);
  const int64_t rows = p.batch * p.heads * p.queries;
  const Workspace workspace(static_cast<size_t>(rows) * sizeof(float), a.stream);
  float* delta = workspace.as<float>();
  const T *q = static_cast<const T*>(a.q), *k = static_cast<const T*>(a.k),
          *v = static_cast<const T*>(a.v), *grad = static_cast<const T*>(a.grad);
  const float* log_sum = static_cast<const float*>(a.log_sum);
  if (rows > 0) {
    launch(delta_kernel<T>, grid_for(rows * kWarp, kThreads, INT32_MAX), a.stream, grad,
           static_cast<const T*>(a.out), delta, a.grad_strides, a.out_strides, shape);
    launch(grad_query_kernel<T>, grid_of(p, p.queries, p.dim), a.stream, q, k, v, grad, log_sum,
           delta, static_cast<T*>(a.grad_q), a.q_strides, a.k_strides, a.v_strides, a.grad_strides,
           a.grad_q_strides, shape);
  }
  const Grid grid = grid_of(p, p.keys, p.dim > p.value_dim ? p.dim : p.value_dim);
  if (grid.blocks.x == 0) return;
  launch(grad_key_kernel<T>, grid, a.stream, q, k, v, grad, log_sum, delta,
         static_cast<T*>(a.grad_k), static_cast<T*>(a.grad_v), a.q_strides, a.k_strides,
         a.v_strides, a.grad_strides, a.grad_k_strides, a.grad_v_strides, shape);
}

}  // namespace

void plain_attention_forward(const kernels::AttentionForwardArgs& args) {
  dispatch_floating("attention", args.problem.dtype,
                    [&](auto tag) { forward<decltype(tag)>(args); });
}

void plain_attention_backward(const kernels::AttentionBackwardArgs& args) {
  dispatch_floating("attention", args.problem.dtype,
                    [&](auto tag) { backward<decltype(tag)>(args); });
}

}  // namespace sing::cuda
