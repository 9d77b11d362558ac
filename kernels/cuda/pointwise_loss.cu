// Element-wise losses: one read of prediction and target each way. Sums go by chunks of kLossChunk
// elements, one block each, and a last block adds the chunks in their order.
#include "kernels/cuda/element.h"
#include "kernels/cuda/functions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/loss.h"

namespace sing::cuda {
namespace {

using kernels::kLossChunk;
using kernels::PointwiseLoss;
using kernels::Reduction;

constexpr int kThreads = 256, kFinishThreads = 1024;
constexpr int kLossPack = 4;  // f32 losses beside bf16 elements: 16 bytes of the wider

SING_DEVICE float loss_of(PointwiseLoss kind, float x, float t) {
  switch (kind) {
    case PointwiseLoss::squared:
      return (x - t) * (x - t);
    case PointwiseLoss::absolute:
      return std::abs(x - t);
    case PointwiseLoss::bce:
      return (x > 0 || x != x ? x : 0) - x * t + std::log1p(std::exp(-std::abs(x)));
  }
  return 0;
}
SING_DEVICE float by_prediction(PointwiseLoss kind, float x, float t) {
  switch (kind) {
    case PointwiseLoss::squared:
      return 2 * (x - t);
    case PointwiseLoss::absolute:
      return x > t ? 1.0f : x < t ? -1.0f : x - t;  // 0 at equality, NaN stays
    case PointwiseLoss::bce:
      return sigmoid<float>(x) - t;
  }
  return 0;
}

/// One chunk per block; `loss` of each element, or nullptr.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const T* x, const T* t, float* loss, double* partials, int64_t n,
                   PointwiseLoss kind) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kLossChunk;
  const int64_t end = begin + kLossChunk < n ? begin + kLossChunk : n;
  double sum = 0;
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x * N; i < end; i += kThreads * N) {
    if (i + N <= end) {
      const Pack<T, N> xs = *reinterpret_cast<const Pack<T, N>*>(x + i);
      const Pack<T, N> ts = *reinterpret_cast<const Pack<T, N>*>(t + i);
      Pack<float, N> out;
      float part = 0;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        out.at[k] = loss_of(kind, to_value(xs.at[k]), to_value(ts.at[k]));
        part += out.at[k];
      }
      if (loss != nullptr) *reinterpret_cast<Pack<float, N>*>(loss + i) = out;
      sum += static_cast<double>(part);
    } else {
      for (int64_t k = i; k < end; ++k) {
        const float l = loss_of(kind, to_value(x[k]), to_value(t[k]));
        if (loss != nullptr) loss[k] = l;
        sum += static_cast<double>(l);
      }
    }
  }
  if (loss != nullptr) return;
  sum = block_reduce(sum, 0.0);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kFinishThreads)
    finish_kernel(const double* partials, int64_t chunks, double divisor, float* loss) {
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < chunks; i += blockDim.x) sum += partials[i];
  sum = block_reduce(sum, 0.0);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / divisor);
}

void forward(const kernels::PointwiseLossFwdArgs& args) {
  const bool each = args.reduction == Reduction::none;
  const int64_t chunks = (args.n + kLossChunk - 1) / kLossChunk;
  dispatch_floating("pointwise loss", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (args.n == 0) return;
    float* const loss = each ? static_cast<float*>(args.loss) : nullptr;
    const auto run = [&]<int N>() {
      launch(forward_kernel<T, N>, Grid{dim3(static_cast<unsigned>(chunks)), dim3(kThreads), 0},
             args.stream, static_cast<const T*>(args.prediction),
             static_cast<const T*>(args.target), loss, args.partials, args.n, args.kind);
    };
    if (aligned_for_packs(16, args.prediction, args.target, loss))
      run.template operator()<kLossPack>();
    else
      run.template operator()<1>();
  });
  if (each) return;
  const double divisor = args.reduction == Reduction::mean ? static_cast<double>(args.n) : 1;
  launch(finish_kernel, Grid{dim3(1), dim3(kFinishThreads), 0}, args.stream, args.partials, chunks,
         divisor, static_cast<float*>(args.loss));
}

template <class T>
struct BackwardJob {
  const T *x, *t;
  const float* grad;  // of each element, or of all
  T *grad_x, *grad_t;
  int64_t n;
  PointwiseLoss kind;
  bool each;
  float divisor;
};

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) backward_kernel(BackwardJob<T> job) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (first >= job.n) return;
  const bool whole = first + N <= job.n;
  const int count = whole ? N : static_cast<int>(job.n - first);
  Pack<T, N> x = {}, t = {};
  Pack<float, N> g = {};
  if (whole) {
    x = *reinterpret_cast<const Pack<T, N>*>(job.x + first);
    t = *reinterpret_cast<const Pack<T, N>*>(job.t + first);
    if (job.each) g = *reinterpret_cast<const Pack<float, N>*>(job.grad + first);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (k >= count) continue;
      x.at[k] = job.x[first + k];
      t.at[k] = job.t[first + k];
      if (job.each) g.at[k] = job.grad[first + k];
    }
  }
  const float common = job.each ? 0 : *job.grad / job.divisor;
  Pack<T, N> grad_x, grad_t;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float xk = to_value(x.at[k]), gk = job.each ? g.at[k] : common;
    const float d = by_prediction(job.kind, xk, to_value(t.at[k]));
    grad_x.at[k] = from_value<T>(gk * d);
    grad_t.at[k] = from_value<T>(gk * (job.kind == PointwiseLoss::bce ? -xk : -d));
  }
  if (whole) {
    if (job.grad_x != nullptr) *reinterpret_cast<Pack<T, N>*>(job.grad_x + first) = grad_x;
    if (job.grad_t != nullptr) *reinterpret_cast<Pack<T, N>*>(job.grad_t + first) = grad_t;
    return;
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (k >= count) continue;
    if (job.grad_x != nullptr) job.grad_x[first + k] = grad_x.at[k];
    if (job.grad_t != nullptr) job.grad_t[first + k] = grad_t.at[k];
  }
}

void backward(const kernels::PointwiseLossBwdArgs& args) {
  if (args.n == 0) return;
  dispatch_floating("pointwise loss", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool each = args.reduction == Reduction::none;
    const BackwardJob<T> job{static_cast<const T*>(args.prediction),
                             static_cast<const T*>(args.target),
                             static_cast<const float*>(args.grad_loss),
                             static_cast<T*>(args.grad_prediction),
                             static_cast<T*>(args.grad_target),
                             args.n,
                             args.kind,
                             each,
                             args.reduction == Reduction::mean ? static_cast<float>(args.n) : 1.0f};
    const auto run = [&]<int N>() {
      launch(backward_kernel<T, N>, grid_for((args.n + N - 1) / N, kBlockThreads, INT32_MAX),
             args.stream, job);
    };
    const void* each_grad = each ? args.grad_loss : nullptr;
    if (aligned_for_packs(16, args.prediction, args.target, each_grad, args.grad_prediction,
                          args.grad_target))
      run.template operator()<kLossPack>();
    else
      run.template operator()<1>();
  });
}

SING_CUDA_KERNEL(kernels::pointwise_loss_fwd, forward)
SING_CUDA_KERNEL(kernels::pointwise_loss_bwd, backward)

}  // namespace
}  // namespace sing::cuda
