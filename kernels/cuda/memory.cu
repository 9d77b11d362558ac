// Copies between any layouts and dtypes, and fills.
#include <algorithm>
#include <utility>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/dispatch.h"
#include "kernels/memory.h"

namespace sing::cuda {
namespace {

/// Dimensions that both operands walk as one are merged, innermost last.
struct CopyWalk {
  int rank = 0;
  int64_t dims[kMaxRank], to[kMaxRank], from[kMaxRank];
};

CopyWalk walk_of(const kernels::StridedCopyArgs& a) {
  CopyWalk walk;
  for (size_t d = 0; d < static_cast<size_t>(a.rank); ++d) {
    const int64_t n = a.dims[d], to = a.to_strides[d], from = a.from_strides[d];
    if (n == 1) continue;
    const int last = walk.rank - 1;
    if (last >= 0 && walk.to[last] == to * n && walk.from[last] == from * n) {
      walk.dims[last] *= n;
      walk.to[last] = to;
      walk.from[last] = from;
      continue;
    }
    walk.dims[walk.rank] = n;
    walk.to[walk.rank] = to;
    walk.from[walk.rank++] = from;
  }
  return walk;
}

template <class To, class From>
SING_DEVICE To converted(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else
    return from_value<To>(to_value(x));
}

template <class To, class From, bool kAccumulate>
SING_DEVICE void write(To& to, From x) {
  if constexpr (kAccumulate)
    to = from_value<To>(to_value(to) + to_value(converted<To>(x)));
  else
    to = converted<To>(x);
}

template <class To, class From, bool kAccumulate>
__global__ void strided_copy_kernel(To* to, const From* from, CopyWalk walk, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int64_t rest = i, at = 0, source = 0;
  for (int d = walk.rank - 1; d >= 0; --d) {
    const int64_t place = rest % walk.dims[d];
    rest /= walk.dims[d];
    at += place * walk.to[d];
    source += place * walk.from[d];
  }
  write<To, From, kAccumulate>(to[at], from[source]);
}

/// Dense to dense, N elements per thread.
template <class To, class From, bool kAccumulate, int N>
__global__ void dense_copy_kernel(To* to, const From* from, int64_t n) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    const Pack<From, N> source = *reinterpret_cast<const Pack<From, N>*>(from + i);
    Pack<To, N> target;
    if constexpr (kAccumulate) target = *reinterpret_cast<const Pack<To, N>*>(to + i);
#pragma unroll
    for (int k = 0; k < N; ++k) write<To, From, kAccumulate>(target.at[k], source.at[k]);
    *reinterpret_cast<Pack<To, N>*>(to + i) = target;
    return;
  }
  for (int64_t k = i; k < n; ++k) write<To, From, kAccumulate>(to[k], from[k]);
}

template <class To, class From, bool kAccumulate>
void copy(const kernels::StridedCopyArgs& args, int64_t n, const CopyWalk& walk) {
  To* to = static_cast<To*>(args.to);
  const From* from = static_cast<const From*>(args.from);
  const bool dense = walk.rank == 0 || (walk.rank == 1 && walk.to[0] == 1 && walk.from[0] == 1);
  constexpr int N = std::min(kPack<To>, kPack<From>);
  if (!dense)
    launch(strided_copy_kernel<To, From, kAccumulate>, grid_for(n, 256, INT32_MAX), args.stream, to,
           from, walk, n);
  else if (aligned_for_packs(16, to, from))
    launch(dense_copy_kernel<To, From, kAccumulate, N>, grid_for((n + N - 1) / N, 256, INT32_MAX),
           args.stream, to, from, n);
  else
    launch(dense_copy_kernel<To, From, kAccumulate, 1>, grid_for(n, 256, INT32_MAX), args.stream,
           to, from, n);
}

void strided_copy(const kernels::StridedCopyArgs& args) {
  int64_t n = 1;
  for (size_t d = 0; d < static_cast<size_t>(args.rank); ++d) n *= args.dims[d];
  if (n == 0) return;
  const CopyWalk walk = walk_of(args);
  kernels::dispatch_all(args.to_dtype, [&](auto to) {
    kernels::dispatch_all(args.from_dtype, [&](auto from) {
      if (args.accumulate)
        copy<decltype(to), decltype(from), true>(args, n, walk);
      else
        copy<decltype(to), decltype(from), false>(args, n, walk);
    });
  });
}

template <class T>
__global__ void fill_kernel(T* to, T value, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = value;
}

template <class T>
T host_value(double value) {
  if constexpr (std::is_same_v<T, bool>)
    return value != 0;
  else if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return T(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

void fill(const kernels::FillArgs& args) {
  if (args.n == 0) return;
  kernels::dispatch_all(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch(fill_kernel<T>, grid_for(args.n, 256, INT32_MAX), args.stream, static_cast<T*>(args.to),
           host_value<T>(args.value), args.n);
  });
}

SING_CUDA_KERNEL(kernels::strided_copy, strided_copy)
SING_CUDA_KERNEL(kernels::fill, fill)

}  // namespace
}  // namespace sing::cuda
