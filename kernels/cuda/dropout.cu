// Dropout: the mask is made anew from its key in both directions, so nothing but x and y moves.
#include "kernels/dropout.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/random.h"

namespace sing::cuda {
namespace {

constexpr int kThreads = 256;
/// Packs of a thread: their blocks of random numbers share the round keys.
constexpr int kPacks = 2;

template <class T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(T* y, const T* x, int64_t n, DeviceKey device, uint32_t threshold, float scale) {
  constexpr int N = kPack<T>;
  static_assert(N % 4 == 0, "a pack starts with a block of random numbers");
  const PhiloxKey key = philox_key_of(device);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * (kThreads * kPacks) + threadIdx.x) * N;
  Pack<T, N> pack[kPacks] = {};
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = first + p * (kThreads * N);
    if (kPacked && i + N <= n) {
      pack[p] = *reinterpret_cast<const Pack<T, N>*>(x + i);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (i + k < n) pack[p].at[k] = x[i + k];
    }
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = first + p * (kThreads * N);
#pragma unroll
    for (int k = 0; k < N; k += 4) {
      const RandomWords words = random_block(key, static_cast<uint64_t>(i + k) / 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float kept = to_value(pack[p].at[k + j]) * scale;
        pack[p].at[k + j] = from_value<T>(words.at[j] >= threshold ? kept : 0.0f);
      }
    }
    if (kPacked && i + N <= n) {
      *reinterpret_cast<Pack<T, N>*>(y + i) = pack[p];
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (i + k < n) y[i + k] = pack[p].at[k];
    }
  }
}

void dropout(const kernels::DropoutArgs& a) {
  if (a.n == 0) return;
  dispatch_floating("dropout", a.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = static_cast<T*>(a.y);
    const T* x = static_cast<const T*>(a.x);
    if (a.threshold > 0xffffffffu) {  // everything is dropped, also what is not finite
      check(cudaMemsetAsync(y, 0, static_cast<size_t>(a.n) * sizeof(T), native(a.stream)),
            "clearing memory");
      return;
    }
    const auto run = [&](auto kernel) {
      const int64_t items = (a.n + kPacks * kPack<T> - 1) / (kPacks * kPack<T>);
      launch(kernel, grid_for(items, kThreads, INT32_MAX), a.stream, y, x, a.n, device_key(a.key),
             static_cast<uint32_t>(a.threshold), static_cast<float>(a.scale));
    };
    if (aligned_for_packs(16, x, y))
      run(dropout_kernel<T, true>);
    else
      run(dropout_kernel<T, false>);
  });
}

SING_CUDA_KERNEL(kernels::dropout_map, dropout)

}  // namespace
}  // namespace sing::cuda
