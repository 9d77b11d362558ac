// Softmax cross entropy: forward reads the logits once, whatever their number, with a running
// maximum; backward reads them once and writes the gradient once.
#include "kernels/cuda/functions.h"
#include "kernels/cuda/index.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/row.h"
#include "kernels/loss.h"

namespace sing::cuda {
namespace {

using kernels::Reduction;

/// sum exp(x - largest) over the x seen so far. Of no number, largest is -inf.
struct SoftSum {
  float largest, sum;

  /// The number that is subtracted: anything will do where all x are -inf.
  SING_DEVICE float base() const { return largest == -INFINITY ? 0 : largest; }
  template <class T>
  SING_DEVICE void join(float other_largest, float other_sum) {
    const float old = largest;
    if (other_largest > largest) largest = other_largest;
    sum = sum * exp_of<T>(old == largest ? 0 : old - largest) +
          other_sum * exp_of<T>(other_largest == largest ? 0 : other_largest - largest);
  }
};

/// Calls pack(first element, Pack) for what is aligned in a row of n elements, and one(element) for
/// the few before and after; all of them where !packs.
template <class T, int kThreads, class OnPack, class OnOne>
SING_DEVICE void walk_row(const T* row, int64_t n, int own, bool packs, OnPack on_pack,
                          OnOne on_one) {
  constexpr int N = kPack<T>;
  const int64_t past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T));
  int64_t head = past == 0 ? 0 : N - past;
  if (!packs || head > n) head = n;
  const int64_t count = (n - head) / N, tail = head + count * N;
  for (int64_t j = own; j < head; j += kThreads) on_one(j);
  constexpr int kUnder = 4;  // packs under way before the first is used
  const Pack<T, N>* const body = reinterpret_cast<const Pack<T, N>*>(row + head);
  for (int64_t p = own; p < count; p += kUnder * kThreads) {
    Pack<T, N> packs_read[kUnder];
#pragma unroll
    for (int u = 0; u < kUnder; ++u)
      if (p + u * kThreads < count) packs_read[u] = body[p + u * kThreads];
#pragma unroll
    for (int u = 0; u < kUnder; ++u)
      if (p + u * kThreads < count) on_pack(head + (p + u * kThreads) * N, packs_read[u]);
  }
  if (own < n - tail) on_one(tail + own);
}

template <class T, class I>
struct ForwardJob {
  const T* logits;
  const I* targets;
  float* loss;  // of each row, or nullptr
  double *row_max, *row_scale, *row_loss;
  int64_t rows, classes, ignore_index;
  double smoothing;
  Fault* fault;
};

template <class T, class I, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) forward_kernel(ForwardJob<T, I> job) {
  constexpr int N = kPack<T>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.rows) return;  // a whole group
  const T* x = job.logits + row * job.classes;
  const int64_t label = job.targets[row];
  const bool ignored = label == job.ignore_index;
  const bool wrong = !ignored && (label < 0 || label >= job.classes);
  if (ignored || wrong) {
    if (own != 0) return;
    if (wrong) report_index(job.fault, label, job.classes);
    job.row_loss[row] = job.row_max[row] = job.row_scale[row] = 0;
    if (job.loss != nullptr) job.loss[row] = 0;
    return;
  }
  SoftSum soft{-INFINITY, 0};
  double total = 0;  // of x, for the smoothed part
  const bool smooth = job.smoothing != 0;
  walk_row<T, kThreads>(
      x, job.classes, own, true,
      [&](int64_t, const Pack<T, N>& pack) {
        float values[N], largest = soft.largest;
#pragma unroll
        for (int k = 0; k < N; ++k) {
          values[k] = to_value(pack.at[k]);
          if (values[k] > largest) largest = values[k];
        }
        if (largest > soft.largest) {
          soft.sum *= exp_of<T>(soft.largest - largest);
          soft.largest = largest;
        }
        const float base = soft.base();
        float sum = 0, plain = 0;
#pragma unroll
        for (int k = 0; k < N; ++k) {
          sum += exp_of<T>(values[k] - base);
          plain += values[k];
        }
        soft.sum += sum;
        if (smooth) total += static_cast<double>(plain);
      },
      [&](int64_t j) {
        const float value = to_value(x[j]);
        if (value > soft.largest) {
          soft.sum *= exp_of<T>(soft.largest - value);
          soft.largest = value;
        }
        soft.sum += exp_of<T>(value - soft.base());
        total += static_cast<double>(value);
      });
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, soft.largest, offset);
    soft.join<T>(other, __shfl_xor_sync(0xffffffffu, soft.sum, offset));
  }
  if (smooth) total = group_reduce<kThreads>(total, 0.0);
  if constexpr (kThreads > kWarp) {
    __shared__ SoftSum of_warp[kThreads / kWarp];
    if (own % kWarp == 0) of_warp[own / kWarp] = soft;
    __syncthreads();
    if (own == 0)
      for (int w = 1; w < kThreads / kWarp; ++w) soft.join<T>(of_warp[w].largest, of_warp[w].sum);
  }
  if (own != 0) return;
  const double largest = soft.largest, log_sum = std::log(soft.sum);
  const double nll = log_sum - (static_cast<double>(to_value(x[label])) - largest);
  double loss = nll;
  if (smooth) {
    const double uniform = log_sum + largest - total / static_cast<double>(job.classes);
    loss = (1 - job.smoothing) * nll + job.smoothing * uniform;
  }
  job.row_max[row] = largest;
  job.row_scale[row] = 1 / static_cast<double>(soft.sum);
  job.row_loss[row] = loss;
  if (job.loss != nullptr) job.loss[row] = static_cast<float>(loss);
}

constexpr int kFinishThreads = 1024;

/// One block: how many rows count, and the sum or mean of their losses; nullptr: not wanted.
__global__ void __launch_bounds__(kFinishThreads)
    finish_kernel(const double* row_loss, const double* row_scale, int64_t rows, double* count,
                  float* loss, bool mean) {
  double sum = 0, counted = 0;
#pragma unroll 4
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
    sum += row_loss[row];
    counted += row_scale[row] != 0 ? 1 : 0;  // 0 marks a row that is left out
  }
  sum = block_reduce(sum, 0.0);
  counted = block_reduce(counted, 0.0);
  if (threadIdx.x != 0) return;
  *count = counted;
  if (loss != nullptr) *loss = static_cast<float>(mean ? sum / counted : sum);
}

/// Rows of up to this many classes are a warp's work.
constexpr int64_t kWarpClasses = 2048;

void forward(const kernels::CrossEntropyFwdArgs& args) {
  const bool each = args.reduction == Reduction::none;
  dispatch_floating("cross_entropy", args.dtype, [&](auto tag) {
    dispatch_index("cross_entropy", args.target_dtype, [&](auto index) {
      using T = decltype(tag);
      using I = decltype(index);
      const ForwardJob<T, I> job{static_cast<const T*>(args.logits),
                                 static_cast<const I*>(args.targets),
                                 each ? static_cast<float*>(args.loss) : nullptr,
                                 args.row_max,
                                 args.row_scale,
                                 args.row_loss,
                                 args.rows,
                                 args.classes,
                                 args.ignore_index,
                                 args.smoothing,
                                 fault()};
      if (args.rows == 0) return;
      if (args.classes <= kWarpClasses)
        launch(forward_kernel<T, I, kWarp>, one_row_grid<kWarp>(args.rows), args.stream, job);
      else
        launch(forward_kernel<T, I, kBlockRowThreads>, one_row_grid<kBlockRowThreads>(args.rows),
               args.stream, job);
    });
  });
  launch(finish_kernel, Grid{dim3(1), dim3(kFinishThreads), 0}, args.stream, args.row_loss,
         args.row_scale, args.rows, args.count, each ? nullptr : static_cast<float*>(args.loss),
         args.reduction == Reduction::mean);
}

template <class T, class I>
struct BackwardJob {
  const T* logits;
  const I* targets;
  const float* grad_loss;
  const double *row_max, *row_scale, *count;
  T* grad;
  int64_t rows, classes, ignore_index;
  float rest, spread;  // 1 - smoothing, smoothing / classes
  bool each, mean, packs;
};

template <class T, class I, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) backward_kernel(BackwardJob<T, I> job) {
  constexpr int N = kPack<T>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.rows) return;
  const T* x = job.logits + row * job.classes;
  T* grad = job.grad + row * job.classes;
  const int64_t label = job.targets[row];
  const bool counts = label != job.ignore_index && label >= 0 && label < job.classes;
  float g = counts ? job.grad_loss[job.each ? row : 0] : 0;
  if (counts && job.mean) g = static_cast<float>(static_cast<double>(g) / *job.count);
  const float largest = static_cast<float>(job.row_max[row]);
  const float scale = static_cast<float>(job.row_scale[row]);
  const auto value = [&](T logit, int64_t j) {
    const float p = exp_of<T>(to_value(logit) - largest) * scale;
    // Not 0 * p: rows that do not count may hold anything.
    return from_value<T>(counts ? g * (p - job.spread - (j == label ? job.rest : 0.0f)) : 0.0f);
  };
  walk_row<T, kThreads>(
      x, job.classes, own, job.packs,
      [&](int64_t first, const Pack<T, N>& pack) {
        Pack<T, N> out;
#pragma unroll
        for (int k = 0; k < N; ++k) out.at[k] = value(pack.at[k], first + k);
        *reinterpret_cast<Pack<T, N>*>(grad + first) = out;
      },
      [&](int64_t j) { grad[j] = value(x[j], j); });
}

void backward(const kernels::CrossEntropyBwdArgs& args) {
  if (args.rows == 0 || args.classes == 0) return;
  dispatch_floating("cross_entropy", args.dtype, [&](auto tag) {
    dispatch_index("cross_entropy", args.target_dtype, [&](auto index) {
      using T = decltype(tag);
      using I = decltype(index);
      const bool packs = reinterpret_cast<uintptr_t>(args.logits) % 16 ==
                         reinterpret_cast<uintptr_t>(args.grad_logits) % 16;
      const BackwardJob<T, I> job{
          static_cast<const T*>(args.logits),
          static_cast<const I*>(args.targets),
          static_cast<const float*>(args.grad_loss),
          args.row_max,
          args.row_scale,
          args.count,
          static_cast<T*>(args.grad_logits),
          args.rows,
          args.classes,
          args.ignore_index,
          static_cast<float>(1 - args.smoothing),
          static_cast<float>(args.smoothing / static_cast<double>(args.classes)),
          args.reduction == Reduction::none,
          args.reduction == Reduction::mean,
          packs};
      if (args.classes <= kWarpClasses)
        launch(backward_kernel<T, I, kWarp>, one_row_grid<kWarp>(args.rows), args.stream, job);
      else
        launch(backward_kernel<T, I, kBlockRowThreads>, one_row_grid<kBlockRowThreads>(args.rows),
               args.stream, job);
    });
  });
}

SING_CUDA_KERNEL(kernels::cross_entropy_fwd, forward)
SING_CUDA_KERNEL(kernels::cross_entropy_bwd, backward)

}  // namespace
}  // namespace sing::cuda
