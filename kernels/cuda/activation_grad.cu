// The gradient before an activation, and its column sums for the bias, in one read of each operand
// and one write.
#include "kernels/cuda/activation.h"
#include "kernels/cuda/columns.h"
#include "kernels/cuda/functions.h"
#include "kernels/cuda/gemm.h"

namespace sing::cuda {
namespace {

using kernels::Epilogue;

/// activation_slope of what the product kept. For bf16 in few instructions, since those of the f32
/// functions take longer than the six bytes of an element.
template <class T, Epilogue kEpilogue>
SING_DEVICE float slope_of(float x) {
  if constexpr (std::is_same_v<T, bfloat16> && kEpilogue == Epilogue::gelu) {
    const float density = normal_density<T>(x), tail = normal_tail<T>(x, density);
    return (x >= 0 ? 1 - tail : tail) + x * density;
  } else if constexpr (std::is_same_v<T, bfloat16> && kEpilogue == Epilogue::gelu_tanh) {
    // x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
    const float square = x * x;
    const float s = sigmoid<T>(1.59576912160573071176f * x * (1 + 0.044715f * square));
    return s + x * s * (1 - s) * 1.59576912160573071176f * (1 + 3 * 0.044715f * square);
  } else {
    return activation_slope(kEpilogue, x);
  }
}

struct BiasGradient {
  void* out;
  DType dtype;
  bool accumulate;
  SING_DEVICE void operator()(int64_t column, const double* sum) const {
    store_number(out, dtype, column, *sum, accumulate);
  }
};

template <class T>
struct Job {
  const T *grad, *kept;
  T* grad_pre;  // may be grad or kept, hence all loads of a round before its stores
  int64_t rows, cols, rows_per_block, across;
  double* partial;  // [chunks, cols], or nullptr when there is one chunk
  BiasGradient bias;
};

template <class T, int N, Epilogue kEpilogue>
__global__ void __launch_bounds__(kColumnThreads, 2) activation_grad_kernel(Job<T> job) {
  const ColumnPlace place(job.rows, job.rows_per_block, job.across);
  double sums[1][N] = {};
  if (place.pack * N < job.cols)
    for (int64_t row = place.row; row < place.end; row += kColumnUnroll * place.step) {
      Pack<T, N> grad[kColumnUnroll] = {}, kept[kColumnUnroll] = {};
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u) {
        if (row + u * place.step >= place.end) continue;
        const int64_t at = (row + u * place.step) * job.cols + place.pack * N;
        grad[u] = *reinterpret_cast<const Pack<T, N>*>(job.grad + at);
        if constexpr (kEpilogue != Epilogue::none)
          kept[u] = *reinterpret_cast<const Pack<T, N>*>(job.kept + at);
      }
      float part[N] = {};
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          float g = to_value(grad[u].at[i]);
          if constexpr (kEpilogue == Epilogue::relu)
            g = to_value(kept[u].at[i]) > 0 ? g : 0;
          else if constexpr (kEpilogue != Epilogue::none)
            g *= slope_of<T, kEpilogue>(to_value(kept[u].at[i]));
          part[i] += g;
          grad[u].at[i] = from_value<T>(g);
        }
        if (job.grad_pre != nullptr && row + u * place.step < place.end)
          *reinterpret_cast<Pack<T, N>*>(job.grad_pre + (row + u * place.step) * job.cols +
                                         place.pack * N) = grad[u];
      }
#pragma unroll
      for (int i = 0; i < N; ++i) sums[0][i] += static_cast<double>(part[i]);
    }
  if (job.bias.out == nullptr) return;
  const int64_t first = (place.pack - threadIdx.x) * N;
  add_columns(sums, [&](int column, const double* sum) {
    if (first + column >= job.cols) return;
    if (job.partial == nullptr)
      job.bias(first + column, sum);
    else
      job.partial[place.chunk * job.cols + first + column] = *sum;
  });
}

template <class T, int N>
void run(Job<T> job, Epilogue epilogue, Stream stream) {
  const ColumnPlan plan = column_plan(job.rows, job.cols / N);
  job.rows_per_block = plan.rows_per_block;
  job.across = plan.across;
  const bool two = plan.chunks > 1 && job.bias.out != nullptr;
  const Workspace partial(two ? static_cast<size_t>(plan.chunks * job.cols) * sizeof(double) : 0,
                          stream);
  if (two) job.partial = partial.as<double>();
  const auto start = [&]<Epilogue kEpilogue>() {
    launch(activation_grad_kernel<T, N, kEpilogue>, plan.grid(), stream, job);
  };
  switch (epilogue) {
    case Epilogue::none:
      start.template operator()<Epilogue::none>();
      break;
    case Epilogue::relu:
      start.template operator()<Epilogue::relu>();
      break;
    case Epilogue::gelu:
      start.template operator()<Epilogue::gelu>();
      break;
    case Epilogue::gelu_tanh:
      start.template operator()<Epilogue::gelu_tanh>();
      break;
  }
  if (two) finish_columns<1>(job.partial, plan.chunks, job.cols, job.bias, stream);
}

}  // namespace

void own_activation_grad(const kernels::ActivationGradArgs& args) {
  if (args.n == 0 || (args.m == 0 && args.bias_grad == nullptr)) return;
  dispatch_floating("activation_grad", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Job<T> job{static_cast<const T*>(args.grad),
                     static_cast<const T*>(args.kept),
                     static_cast<T*>(args.grad_pre),
                     args.m,
                     args.n,
                     0,
                     0,
                     nullptr,
                     {args.bias_grad, args.bias_grad_dtype, args.accumulate}};
    if (args.n % kPack<T> == 0 && aligned_for_packs(16, args.grad, args.kept, args.grad_pre))
      run<T, kPack<T>>(job, args.epilogue, args.stream);
    else
      run<T, 1>(job, args.epilogue, args.stream);
  });
}

SING_CUDA_KERNEL(kernels::activation_grad, own_activation_grad)

}  // namespace sing::cuda
