// Softmax and its logarithm over the middle of (outer, n, inner). Rows (inner = 1) that fit are
// held in registers: one read and one write.
#include "kernels/cuda/functions.h"
#include "kernels/cuda/row.h"
#include "kernels/reduce.h"

namespace sing::cuda {
namespace {

template <class T>
struct ForwardJob {
  T* y;
  const T* x;
  int64_t lines, n, inner;
  bool log;
};
template <class T>
struct BackwardJob {
  T* dx;
  const T *grad, *y;
  int64_t lines, n, inner;
  bool log;
};

template <class T>
SING_DEVICE float normal(bool log, float shifted, float sum, float log_sum) {
  return log ? shifted - log_sum : divide<T>(exp_of<T>(shifted), sum);
}
/// dx from the gradient, the result and the sum of grad y (of grad for the logarithm).
template <class T>
SING_DEVICE float slope(bool log, float grad, float y, float sum) {
  return log ? std::fma(-exp_of<T>(y), sum, grad) : y * (grad - sum);
}

template <class T, int kItems, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) forward_rows_kernel(ForwardJob<T> job) {
  constexpr int N = kPack<T>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.lines) return;  // a whole group
  const int packs = static_cast<int>(job.n) / N;
  RowPart<T, kItems, kThreads> x;
  x.load(job.x + row * job.n, own, packs);
  float largest = -INFINITY, sum = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i)
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (own + i * kThreads < packs && x.value(i, k) > largest) largest = x.value(i, k);
  largest = group_reduce<kThreads>(largest, -INFINITY, Maximum{});
#pragma unroll
  for (int i = 0; i < kItems; ++i)
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (own + i * kThreads < packs) sum += exp_of<T>(x.value(i, k) - largest);
  sum = group_reduce<kThreads>(sum, 0.0f);
  const float log_sum = std::log(sum);
  T* y = job.y + row * job.n;
#pragma unroll
  for (int i = 0; i < kItems; ++i)
    if (own + i * kThreads < packs)
      reinterpret_cast<Words<T>*>(y)[own + i * kThreads] = words_of<T>(
          [&](int k) { return normal<T>(job.log, x.value(i, k) - largest, sum, log_sum); });
}

template <class T, int kItems, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) backward_rows_kernel(BackwardJob<T> job) {
  constexpr int N = kPack<T>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.lines) return;
  const int packs = static_cast<int>(job.n) / N;
  RowPart<T, kItems, kThreads> y, grad;
  y.load(job.y + row * job.n, own, packs);
  grad.load(job.grad + row * job.n, own, packs);
  float sum = 0;  // what lies past the end of a row is 0
#pragma unroll
  for (int i = 0; i < kItems; ++i)
#pragma unroll
    for (int k = 0; k < N; ++k)
      sum += job.log ? grad.value(i, k) : grad.value(i, k) * y.value(i, k);
  sum = group_reduce<kThreads>(sum, 0.0f);
  T* dx = job.dx + row * job.n;
#pragma unroll
  for (int i = 0; i < kItems; ++i)
    if (own + i * kThreads < packs)
      reinterpret_cast<Words<T>*>(dx)[own + i * kThreads] = words_of<T>(
          [&](int k) { return slope<T>(job.log, grad.value(i, k), y.value(i, k), sum); });
}

/// Where kGroup threads find their line: element i is at base + i * step.
template <int kGroup>
struct Line {
  int64_t number, base;
  int own;
  template <class Job>
  explicit SING_DEVICE Line(const Job& job)
      : number((static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kGroup),
        base(number / job.inner * job.n * job.inner + number % job.inner),
        own(static_cast<int>(threadIdx.x) % kGroup) {}
};
template <int kGroup, class Combine = Sum>
SING_DEVICE float over_group(float value, float identity, Combine combine = {}) {
  if constexpr (kGroup == 1)
    return value;
  else
    return group_reduce<kGroup>(value, identity, combine);
}

/// Any layout: a thread per line where neighbours lie side by side (inner > 1), else a warp or a
/// block. The line is read three times, the last two mostly from the caches.
template <class T, int kGroup>
__global__ void __launch_bounds__(kBlockRowThreads) forward_lines_kernel(ForwardJob<T> job) {
  const Line<kGroup> line(job);
  if (line.number >= job.lines) return;
  const T* x = job.x + line.base;
  T* y = job.y + line.base;
  float largest = -INFINITY, sum = 0;
  for (int64_t i = line.own; i < job.n; i += kGroup) {
    const float v = to_value(x[i * job.inner]);
    if (v > largest) largest = v;
  }
  largest = over_group<kGroup>(largest, -INFINITY, Maximum{});
  for (int64_t i = line.own; i < job.n; i += kGroup)
    sum += exp_of<T>(to_value(x[i * job.inner]) - largest);
  sum = over_group<kGroup>(sum, 0.0f);
  const float log_sum = std::log(sum);
  for (int64_t i = line.own; i < job.n; i += kGroup)
    y[i * job.inner] =
        from_value<T>(normal<T>(job.log, to_value(x[i * job.inner]) - largest, sum, log_sum));
}

template <class T, int kGroup>
__global__ void __launch_bounds__(kBlockRowThreads) backward_lines_kernel(BackwardJob<T> job) {
  const Line<kGroup> line(job);
  if (line.number >= job.lines) return;
  const T *grad = job.grad + line.base, *y = job.y + line.base;
  float sum = 0;
  for (int64_t i = line.own; i < job.n; i += kGroup) {
    const float g = to_value(grad[i * job.inner]);
    sum += job.log ? g : g * to_value(y[i * job.inner]);
  }
  sum = over_group<kGroup>(sum, 0.0f);
  for (int64_t i = line.own; i < job.n; i += kGroup)
    job.dx[line.base + i * job.inner] = from_value<T>(
        slope<T>(job.log, to_value(grad[i * job.inner]), to_value(y[i * job.inner]), sum));
}

/// Calls run.operator()<kGroup>() for lines that no registers hold.
template <class Run>
void with_group(int64_t n, int64_t inner, Run&& run) {
  if (inner > 1)
    run.template operator()<1>();
  else if (n <= 2048)
    run.template operator()<kWarp>();
  else
    run.template operator()<kBlockRowThreads>();
}
Grid grid_of_lines(int64_t lines, int group) {
  return grid_for(lines * group, kBlockRowThreads, INT32_MAX);
}

void forward(const kernels::SoftmaxArgs& args) {
  const int64_t lines = args.outer * args.inner;
  if (lines == 0 || args.n == 0) return;
  dispatch_floating("softmax", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const ForwardJob<T> job{static_cast<T*>(args.y),
                            static_cast<const T*>(args.x),
                            lines,
                            args.n,
                            args.inner,
                            args.log};
    const auto rows = [&]<int kItems, int kThreads>() {
      launch(forward_rows_kernel<T, kItems, kThreads>, one_row_grid<kThreads>(lines), args.stream,
             job);
    };
    if (args.inner == 1 && args.n % kPack<T> == 0 && aligned_for_packs(16, args.x, args.y) &&
        with_row_part(args.n / kPack<T>, rows))
      return;
    with_group(args.n, args.inner, [&]<int kGroup>() {
      launch(forward_lines_kernel<T, kGroup>, grid_of_lines(lines, kGroup), args.stream, job);
    });
  });
}

void backward(const kernels::SoftmaxBackwardArgs& args) {
  const int64_t lines = args.outer * args.inner;
  if (lines == 0 || args.n == 0) return;
  dispatch_floating("softmax", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const BackwardJob<T> job{static_cast<T*>(args.dx),
                             static_cast<const T*>(args.grad),
                             static_cast<const T*>(args.y),
                             lines,
                             args.n,
                             args.inner,
                             args.log};
    const auto rows = [&]<int kItems, int kThreads>() {
      launch(backward_rows_kernel<T, kItems, kThreads>, one_row_grid<kThreads>(lines), args.stream,
             job);
    };
    if (args.inner == 1 && args.n % kPack<T> == 0 &&
        aligned_for_packs(16, args.grad, args.y, args.dx) && with_row_part(args.n / kPack<T>, rows))
      return;
    with_group(args.n, args.inner, [&]<int kGroup>() {
      launch(backward_lines_kernel<T, kGroup>, grid_of_lines(lines, kGroup), args.stream, job);
    });
  });
}

SING_CUDA_KERNEL(kernels::softmax_fwd, forward)
SING_CUDA_KERNEL(kernels::softmax_bwd, backward)

}  // namespace
}  // namespace sing::cuda
