// The activation after a product that could not do it itself: one read, one write.
#include "kernels/cuda/activation.h"

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

using kernels::Epilogue;

/// 16 bytes per thread of memory without gaps.
template <class T, Epilogue kEpilogue>
__global__ void __launch_bounds__(kBlockThreads)
    dense_activation_kernel(T* to, const T* from, int64_t n) {
  constexpr int N = kPack<T>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from + i);
#pragma unroll
    for (int k = 0; k < N; ++k) pack.at[k] = activated_as<T, kEpilogue>(to_value(pack.at[k]));
    *reinterpret_cast<Pack<T, N>*>(to + i) = pack;
    return;
  }
#pragma unroll 1
  for (int64_t k = i; k < n; ++k) to[k] = activated_as<T, kEpilogue>(to_value(from[k]));
}

template <class T, Epilogue kEpilogue>
__global__ void __launch_bounds__(kBlockThreads)
    activation_kernel(T* to, const T* from, int64_t elements, int64_t m, int64_t n, int64_t row,
                      int64_t batch) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  const int64_t at = i / n / m * batch + i / n % m * row + i % n;
  to[at] = activated_as<T, kEpilogue>(to_value(from[at]));
}

template <class T, Epilogue kEpilogue>
void run(const ActivationPass& a) {
  const int64_t elements = a.batches * a.m * a.n;
  if (elements == 0) return;
  const bool dense = (a.row == a.n || a.m == 1) && (a.batch == a.m * a.n || a.batches == 1);
  T* to = static_cast<T*>(a.to);
  const T* from = static_cast<const T*>(a.from);
  if (dense && aligned_for_packs(16, to, from))
    launch(dense_activation_kernel<T, kEpilogue>,
           grid_for((elements + kPack<T> - 1) / kPack<T>, kBlockThreads, INT32_MAX), a.stream, to,
           from, elements);
  else
    launch(activation_kernel<T, kEpilogue>, grid_for(elements, kBlockThreads, INT32_MAX), a.stream,
           to, from, elements, a.m, a.n, a.row, a.batch);
}

}  // namespace

void activation_pass(const ActivationPass& args) {
  dispatch_floating("gemm", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    switch (args.epilogue) {
      case Epilogue::relu:
        return run<T, Epilogue::relu>(args);
      case Epilogue::gelu:
        return run<T, Epilogue::gelu>(args);
      case Epilogue::gelu_tanh:
        return run<T, Epilogue::gelu_tanh>(args);
      case Epilogue::none:
        break;  // there is nothing to do
    }
  });
}

}  // namespace sing::cuda
