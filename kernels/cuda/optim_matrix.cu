#include "kernels/cuda/optim_matrix.h"

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kItemElements = 16384;  // of the rows of one block
constexpr int kLongColumn = 1024;     // row means that are worth a block

__global__ void __launch_bounds__(kThreads)
    combine_kernel(float a, const float* x, float c, float* out, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = c == 0 ? a * x[i] : a * x[i] + c * out[i];
}

__global__ void __launch_bounds__(kThreads) scale_kernel(const ScaleLaunch a) {
  const int64_t matrix = blockIdx.y;
  const auto factor = static_cast<float>(a.results[int64_t{a.records[matrix]} * kChunkSums]);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.elements;
       i += step)
    a.out[matrix * a.stride + i] = factor * a.x[matrix * a.stride + i];
}

SING_DEVICE void move_on(float& mean, const FactorNumbers& f, double squares, int64_t n) {
  mean = static_cast<float>(f.keep * static_cast<double>(mean) +
                            (1 - f.keep) * (squares / static_cast<double>(n) + f.eps));
}
SING_DEVICE double square(float x) {
  return static_cast<double>(x) * static_cast<double>(x);
}

/// A warp has a whole row where rows are long; else each thread has one.
SING_HOST_DEVICE bool by_warp(const FactorNumbers& f) {
  return f.lanes == 1 && f.cols >= kWarp;
}
/// Rows of one block.
SING_HOST_DEVICE int64_t item_rows(const FactorNumbers& f) {
  if (!by_warp(f)) return kThreads;
  return (kItemElements / f.cols + kWarps) / kWarps * kWarps;
}

template <bool kByWarp>
SING_DEVICE void row_means(const UpdateRecord& r, const FactorNumbers& f, int64_t first) {
  constexpr int kGroup = kByWarp ? kWarp : 1;
  const auto* const g = static_cast<const float*>(r.slots[0]);
  auto* const row = static_cast<float*>(r.slots[1]);
  const int64_t all = f.outer * f.rows * f.lanes;
  const int64_t last = first + item_rows(f) < all ? first + item_rows(f) : all;
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t at = first + thread / kGroup; at < last; at += kThreads / kGroup) {  // whole warps
    const int64_t line = at / f.lanes, k = at % f.lanes;
    double sum = 0;
#pragma unroll 4
    for (int64_t j = thread % kGroup; j < f.cols; j += kGroup)
      sum += square(g[(line * f.cols + j) * f.lanes + k]);
    if constexpr (kByWarp) sum = warp_reduce(sum);
    if (thread % kGroup != 0) continue;
    const int64_t matrix = line / f.rows * f.lanes + k;
    move_on(row[matrix * f.rows + line % f.rows], f, sum, f.cols);
  }
}

SING_DEVICE float& column_at(const UpdateRecord& r, const FactorNumbers& f, int64_t at) {
  const int64_t width = f.cols * f.lanes;
  const int64_t o = at / width, j = at % width / f.lanes, k = at % f.lanes;
  return static_cast<float*>(r.slots[2])[(o * f.lanes + k) * f.cols + j];
}

/// 32 columns of a block, whose rows (kFactorRows of them at most) are shared by its warps.
SING_DEVICE void column_sums(const UpdateRecord& r, const FactorNumbers& f, int64_t first,
                             int part) {
  __shared__ double sums[kWarps][kWarp];
  const auto* const g = static_cast<const float*>(r.slots[0]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t width = f.cols * f.lanes, columns = f.outer * width, at = first + lane;
  const int64_t begin = int64_t{part} * kFactorRows;
  const int64_t end = begin + kFactorRows < f.rows ? begin + kFactorRows : f.rows;
  double sum = 0;
  if (at < columns) {
    const float* const column = g + at / width * f.rows * width + at % width;
#pragma unroll 4
    for (int64_t i = begin + warp; i < end; i += kWarps) sum += square(column[i * width]);
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || at >= columns) return;
  for (int w = 1; w < kWarps; ++w) sum += sums[w][lane];
  if (f.rows > kFactorRows)
    f.partials[part * columns + at] = sum;
  else
    move_on(column_at(r, f, at), f, sum, f.rows);
}

__global__ void __launch_bounds__(kThreads) factor_sums_kernel(const FactorLaunch a) {
  const FactorItem item = a.items[blockIdx.x];
  const UpdateRecord& r = a.records[item.record];
  if (a.report->nonfinite != 0 || r.rule < 0) return;
  const auto& f = *reinterpret_cast<const FactorNumbers*>(r.functor);
  if (item.part >= 0)
    column_sums(r, f, item.first, item.part);
  else if (by_warp(f))
    row_means<true>(r, f, item.first);
  else
    row_means<false>(r, f, item.first);
}

/// The mean of the row means of one matrix, by a warp or by the block.
template <bool kBlock>
SING_DEVICE void matrix_mean(const UpdateRecord& r, const FactorNumbers& f, int64_t matrix) {
  constexpr int kGroup = kBlock ? kThreads : kWarp;
  const int thread = static_cast<int>(threadIdx.x) % kGroup;
  if (matrix >= f.outer * f.lanes) return;  // whole warps
  const float* const row = static_cast<const float*>(r.slots[1]) + matrix * f.rows;
  double sum = 0;
#pragma unroll 4
  for (int64_t i = thread; i < f.rows; i += kGroup) sum += static_cast<double>(row[i]);
  if constexpr (kBlock)
    sum = block_reduce(sum, 0.0);
  else
    sum = warp_reduce(sum);
  if (thread == 0) f.means[matrix] = sum / static_cast<double>(f.rows);
}

__global__ void __launch_bounds__(kThreads) factor_means_kernel(const FactorLaunch a) {
  const FactorItem item = a.items[blockIdx.x];
  const UpdateRecord& r = a.records[item.record];
  if (a.report->nonfinite != 0 || r.rule < 0) return;
  const auto& f = *reinterpret_cast<const FactorNumbers*>(r.functor);
  if (item.part < 0) {
    if (f.rows >= kLongColumn)
      matrix_mean<true>(r, f, item.first);
    else
      matrix_mean<false>(r, f, item.first + static_cast<int>(threadIdx.x) / kWarp);
    return;
  }
  const int64_t columns = f.outer * f.cols * f.lanes, at = item.first + threadIdx.x;
  if (at >= columns) return;
  double sum = 0;
  for (int64_t part = 0; part * kFactorRows < f.rows; ++part)
    sum += f.partials[part * columns + at];
  move_on(column_at(r, f, at), f, sum, f.rows);
}

}  // namespace

void combine(Stream stream, double a, const float* x, double c, float* out, int64_t n) {
  if (n > 0)
    launch(combine_kernel, grid_for(n, kThreads, INT32_MAX), stream, static_cast<float>(a), x,
           static_cast<float>(c), out, n);
}

void scale_matrices(const ScaleLaunch& a) {
  if (a.elements * a.count == 0) return;
  Grid grid = grid_for(a.elements, kThreads, 1024);
  grid.blocks.y = static_cast<unsigned>(a.count);
  launch(scale_kernel, grid, a.stream, a);
}

void add_factor_items(const FactorNumbers& f, int32_t record, std::vector<FactorItem>& sums,
                      std::vector<FactorItem>& means) {
  const int64_t columns = f.outer * f.cols * f.lanes;
  const auto parts = static_cast<int32_t>((f.rows + kFactorRows - 1) / kFactorRows);
  for (int64_t row = 0; row < f.outer * f.rows * f.lanes; row += item_rows(f))
    sums.push_back({row, record, -1});
  for (int64_t column = 0; column < columns; column += kWarp)
    for (int32_t part = 0; part < parts; ++part) sums.push_back({column, record, part});
  const int64_t at_once = f.rows >= kLongColumn ? 1 : kWarps;
  for (int64_t matrix = 0; matrix < f.outer * f.lanes; matrix += at_once)
    means.push_back({matrix, record, -1});
  if (parts > 1)
    for (int64_t column = 0; column < columns; column += kThreads)
      means.push_back({column, record, 0});
}

int64_t factor_partials(const FactorNumbers& f) {
  if (f.rows <= kFactorRows) return 0;
  return (f.rows + kFactorRows - 1) / kFactorRows * f.outer * f.cols * f.lanes;
}

void factor_sums(const FactorLaunch& a) {
  if (a.count > 0)
    launch(factor_sums_kernel, Grid{dim3(static_cast<unsigned>(a.count)), dim3(kThreads), 0},
           a.stream, a);
}
void factor_means(const FactorLaunch& a) {
  if (a.count > 0)
    launch(factor_means_kernel, Grid{dim3(static_cast<unsigned>(a.count)), dim3(kThreads), 0},
           a.stream, a);
}

}  // namespace sing::cuda
