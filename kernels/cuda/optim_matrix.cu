#include "kernels/cuda/optim_matrix.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumnThreads = 8;  // that share the rows of a column

__global__ void __launch_bounds__(kThreads)
    combine_kernel(float a, const float* x, float c, float* out, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = c == 0 ? a * x[i] : a * x[i] + c * out[i];
}

SING_DEVICE void move_on(float& mean, double keep, double eps, double squares, int64_t n) {
  mean = static_cast<float>(keep * static_cast<double>(mean) +
                            (1 - keep) * (squares / static_cast<double>(n) + eps));
}
SING_DEVICE double square(float x) {
  return static_cast<double>(x) * static_cast<double>(x);
}

/// One thread, or one warp, per row of each matrix.
template <bool kWarpPerRow>
__global__ void __launch_bounds__(kThreads) row_means_kernel(const FactorArgs a) {
  constexpr int kGroup = kWarpPerRow ? kWarp : 1;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t at = thread / kGroup;
  if (at >= a.outer * a.rows * a.lanes) return;  // whole warps
  const int64_t line = at / a.lanes, k = at % a.lanes;
  double sum = 0;
  for (int64_t j = thread % kGroup; j < a.cols; j += kGroup)
    sum += square(a.g[(line * a.cols + j) * a.lanes + k]);
  if constexpr (kWarpPerRow) sum = warp_reduce(sum);
  if (thread % kGroup != 0) return;
  const int64_t matrix = line / a.rows * a.lanes + k;
  move_on(a.row[matrix * a.rows + line % a.rows], a.keep, a.eps, sum, a.cols);
}

/// 32 columns of a block, whose rows are shared by kColumnThreads threads each.
__global__ void __launch_bounds__(kThreads) column_means_kernel(const FactorArgs a) {
  __shared__ double partial[kColumnThreads][kWarp];
  const int64_t width = a.cols * a.lanes;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  const bool there = at < a.outer * width;
  const int64_t o = at / width, c = at % width;
  double sum = 0;
  if (there)
    for (int64_t i = threadIdx.y; i < a.rows; i += kColumnThreads)
      sum += square(a.g[(o * a.rows + i) * width + c]);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (!there || threadIdx.y != 0) return;
  for (int t = 1; t < kColumnThreads; ++t) sum += partial[t][threadIdx.x];
  const int64_t j = c / a.lanes, k = c % a.lanes;
  move_on(a.col[(o * a.lanes + k) * a.cols + j], a.keep, a.eps, sum, a.rows);
}

/// One warp per matrix.
__global__ void __launch_bounds__(kThreads) matrix_means_kernel(const FactorArgs a) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t matrix = thread / kWarp;
  if (matrix >= a.outer * a.lanes) return;
  double sum = 0;
  for (int64_t i = thread % kWarp; i < a.rows; i += kWarp)
    sum += static_cast<double>(a.row[matrix * a.rows + i]);
  sum = warp_reduce(sum);
  if (thread % kWarp == 0) a.means[matrix] = sum / static_cast<double>(a.rows);
}

}  // namespace

void combine(Stream stream, double a, const float* x, double c, float* out, int64_t n) {
  if (n > 0)
    launch(combine_kernel, grid_for(n, kThreads, INT32_MAX), stream, static_cast<float>(a), x,
           static_cast<float>(c), out, n);
}

void update_factors(const FactorArgs& a) {
  const int64_t lines = a.outer * a.rows * a.lanes;
  if (lines * a.cols == 0) return;
  if (a.lanes == 1 && a.cols >= kWarp)
    launch(row_means_kernel<true>, grid_for(lines * kWarp, kThreads, INT32_MAX), a.stream, a);
  else
    launch(row_means_kernel<false>, grid_for(lines, kThreads, INT32_MAX), a.stream, a);
  const int64_t columns = a.outer * a.cols * a.lanes;
  launch(column_means_kernel,
         Grid{dim3(static_cast<unsigned>((columns + kWarp - 1) / kWarp)),
              dim3(kWarp, kColumnThreads), 0},
         a.stream, a);
  launch(matrix_means_kernel, grid_for(a.outer * a.lanes * kWarp, kThreads, INT32_MAX), a.stream,
         a);
}

}  // namespace sing::cuda
