#pragma once
// Sums over the rows of a matrix, one result per column. Threads side by side take neighbouring
// columns, N at a time, and threads behind each other share the rows; blocks take chunks of rows,
// whose sums a second launch adds in their order. Chunks depend on the sizes alone.
#include <algorithm>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {

/// a / b of numbers that are not negative; a division of 64 bits takes some five times as long.
SING_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

inline constexpr int kColumnThreads = 256;
/// Rows that a thread loads before it uses the first, so that enough bytes are under way.
inline constexpr int kColumnUnroll = 4;

/// How a launch of blockDim (wide, kColumnThreads / wide) covers rows x packs.
struct ColumnPlan {
  int wide;                ///< threads side by side, a power of two
  int64_t across;          ///< blocks side by side
  int64_t rows_per_block;  ///< of one chunk
  int64_t chunks;
  Grid grid() const {
    return {dim3(static_cast<unsigned>(across * chunks)),
            dim3(static_cast<unsigned>(wide), static_cast<unsigned>(kColumnThreads / wide)), 0};
  }
};
inline ColumnPlan column_plan(int64_t rows, int64_t packs) {
  ColumnPlan plan{};
  // The widest power of two that leaves few threads idle, down to eight packs (128 bytes) side by
  // side; else the one that takes all packs.
  const auto idle = [&](int wide) { return (packs + wide - 1) / wide * wide - packs; };
  plan.wide = kWarp;
  while (plan.wide >= 8 && idle(plan.wide) * 8 > packs) plan.wide /= 2;
  if (plan.wide < 8)
    for (plan.wide = 1; plan.wide < kWarp && plan.wide < packs;) plan.wide *= 2;
  plan.across = (packs + plan.wide - 1) / plan.wide;
  const int64_t deep = kColumnThreads / plan.wide;
  // About eight blocks for each of 132 multiprocessors; at least 8 rows a thread, which pay for the
  // second launch, and at most 128, which keep sums short.
  const int64_t each = std::clamp<int64_t>(rows * plan.across / (deep * 1056), 8, 128);
  plan.rows_per_block = each / kColumnUnroll * kColumnUnroll * deep;
  plan.chunks = std::max<int64_t>(1, (rows + plan.rows_per_block - 1) / plan.rows_per_block);
  return plan;
}

/// Where a thread of such a launch works.
struct ColumnPlace {
  int64_t pack, row, end, step, chunk;
  SING_DEVICE ColumnPlace(int64_t rows, int64_t rows_per_block, int64_t across)
      : pack(static_cast<int64_t>(blockIdx.x) % across * blockDim.x + threadIdx.x),
        row(static_cast<int64_t>(blockIdx.x) / across * rows_per_block + threadIdx.y),
        end(min(rows, (static_cast<int64_t>(blockIdx.x) / across + 1) * rows_per_block)),
        step(blockDim.y),
        chunk(static_cast<int64_t>(blockIdx.x) / across) {}
  static SING_DEVICE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
};

/// Adds Q sums of N columns over the threads of a block that share columns, in their order, and
/// calls done(column within the block, sums) once per column. Every thread must call it.
template <int Q, int N, class Done>
SING_DEVICE void add_columns(const double (&values)[Q][N], Done done) {
  __shared__ double buffer[kColumnThreads * N];
  const int wide = static_cast<int>(blockDim.x), deep = static_cast<int>(blockDim.y);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int own = y * wide + x;  // column own / wide of pack own % wide
  double sums[Q];
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; ++k) buffer[(y * N + k) * wide + x] = values[q][k];
    __syncthreads();
    sums[q] = 0;
    if (own < wide * N)
      for (int i = 0; i < deep; ++i) sums[q] += buffer[i * N * wide + own];
  }
  if (own < wide * N) done(own % wide * N + own / wide, sums);
}

/// Columns of a block that adds chunks, and the threads that share those of one column. There are
/// few sums (some hundred chunks of a few hundred columns): many small blocks, each of whose
/// threads has its few loads under way at once.
inline constexpr int kFinishColumns = 8, kFinishDeep = 64;
inline constexpr int kFinishThreads = kFinishColumns * kFinishDeep;
inline Grid finish_grid(int64_t cols) {
  return {dim3(static_cast<unsigned>((cols + kFinishColumns - 1) / kFinishColumns)),
          dim3(kFinishColumns, kFinishDeep), 0};
}

/// The sum over the threads of such a block that share a column; to be used in every thread. In the
/// order of lanes, then of warps.
SING_DEVICE double finish_sum(double value) {
  constexpr int kWarps = kFinishThreads / kWarp;
  __shared__ double partial[kWarps][kFinishColumns];
  const int thread = static_cast<int>(threadIdx.y) * kFinishColumns + static_cast<int>(threadIdx.x);
#pragma unroll
  for (int offset = kFinishColumns; offset < kWarp; offset *= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  __syncthreads();  // a call before this one may still be read
  if (thread % kWarp < kFinishColumns) partial[thread / kWarp][threadIdx.x] = value;
  __syncthreads();
  value = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) value += partial[w][threadIdx.x];
  return value;
}

/// partial is [chunks, Q, cols] of f32 or f64: calls finish(column, sums) with the Q sums over the
/// chunks.
template <int Q, class P, class Finish>
__global__ void __launch_bounds__(kFinishThreads)
    finish_columns_kernel(const P* partial, int64_t chunks, int64_t cols, Finish finish) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kFinishColumns + threadIdx.x;
  double sums[Q] = {};
  if (column < cols)
#pragma unroll 8
    for (int64_t chunk = threadIdx.y; chunk < chunks; chunk += kFinishDeep)
#pragma unroll
      for (int q = 0; q < Q; ++q)
        sums[q] += static_cast<double>(partial[(chunk * Q + q) * cols + column]);
#pragma unroll
  for (int q = 0; q < Q; ++q) sums[q] = finish_sum(sums[q]);
  if (threadIdx.y == 0 && column < cols) finish(column, sums);
}

template <int Q, class P, class Finish>
void finish_columns(const P* partial, int64_t chunks, int64_t cols, const Finish& finish,
                    Stream stream) {
  launch(finish_columns_kernel<Q, P, Finish>, finish_grid(cols), stream, partial, chunks, cols,
         finish);
}

/// out[i] = value, or += where `accumulate`, for a floating dtype known at run time.
SING_DEVICE void store_number(void* out, DType dtype, int64_t i, double value, bool accumulate) {
  const auto put = [&](auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    to[i] = from_value<T>(accumulate ? value + static_cast<double>(to_value(to[i])) : value);
  };
  if (dtype == DType::f32)
    put(static_cast<float*>(out));
  else if (dtype == DType::bf16)
    put(static_cast<bfloat16*>(out));
  else if (dtype == DType::f64)
    put(static_cast<double*>(out));
  else
    put(static_cast<float16*>(out));
}

}  // namespace sing::cuda
