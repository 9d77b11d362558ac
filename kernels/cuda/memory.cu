// Copies between any layouts and dtypes, and fills.
#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cuda/columns.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/dispatch.h"
#include "kernels/memory.h"

namespace sing::cuda {
namespace {

/// Dimensions in the order of what is written, innermost last; those that both operands walk as one
/// are merged. Elements are independent of each other, so any order will do.
struct CopyWalk {
  int rank = 0;
  int64_t dims[kMaxRank], to[kMaxRank], from[kMaxRank];

  void append(int64_t n, int64_t to_stride, int64_t from_stride) {
    const int last = rank - 1;
    const bool merges = last >= 0 && to[last] == to_stride * n && from[last] == from_stride * n;
    const int place = merges ? last : rank++;
    dims[place] = merges ? dims[place] * n : n;
    to[place] = to_stride;
    from[place] = from_stride;
  }
};

CopyWalk walk_of(const kernels::StridedCopyArgs& a) {
  std::array<size_t, kMaxRank> order{};
  size_t count = 0;
  for (size_t d = 0; d < static_cast<size_t>(a.rank); ++d)
    if (a.dims[d] != 1) order[count++] = d;
  std::stable_sort(order.begin(), order.begin() + count,
                   [&](size_t x, size_t y) { return a.to_strides[x] > a.to_strides[y]; });
  CopyWalk walk;
  for (size_t i = 0; i < count; ++i)
    walk.append(a.dims[order[i]], a.to_strides[order[i]], a.from_strides[order[i]]);
  return walk;
}

/// The walk in steps of `pack` elements that lie side by side in both; false where they do not.
bool by_packs(CopyWalk& walk, int pack) {
  const int last = walk.rank - 1;
  if (walk.to[last] != 1 || walk.from[last] != 1 || walk.dims[last] % pack != 0) return false;
  for (int d = 0; d < last; ++d)
    if (walk.to[d] % pack != 0 || walk.from[d] % pack != 0) return false;
  walk.dims[last] /= pack;
  walk.to[last] = walk.from[last] = pack;
  return true;
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

/// N elements side by side per thread; `n` is the number of such packs.
template <class To, class From, bool kAccumulate, int N>
__global__ void __launch_bounds__(kBlockThreads)
    strided_copy_kernel(To* to, const From* from, CopyWalk walk, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int64_t rest = i, at = 0, source = 0;
  for (int d = walk.rank - 1; d >= 0; --d) {
    const int64_t outer = quotient(rest, walk.dims[d]), place = rest - outer * walk.dims[d];
    rest = outer;
    at += place * walk.to[d];
    source += place * walk.from[d];
  }
  if constexpr (N == 1) {
    write<To, From, kAccumulate>(to[at], from[source]);
  } else {
    const Pack<From, N> values = *reinterpret_cast<const Pack<From, N>*>(from + source);
    Pack<To, N> target;
    if constexpr (kAccumulate) target = *reinterpret_cast<const Pack<To, N>*>(to + at);
#pragma unroll
    for (int k = 0; k < N; ++k) write<To, From, kAccumulate>(target.at[k], values.at[k]);
    *reinterpret_cast<Pack<To, N>*>(to + at) = target;
  }
}

/// Dense to dense, N elements per thread.
template <class To, class From, bool kAccumulate, int N>
__global__ void __launch_bounds__(kBlockThreads)
    dense_copy_kernel(To* to, const From* from, int64_t n) {
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

/// Whether copies of it are worth kernels of their own.
template <class T>
constexpr bool kHot = std::is_same_v<T, float> || std::is_same_v<T, bfloat16>;

template <class To, class From, bool kAccumulate>
void copy(const kernels::StridedCopyArgs& args, int64_t n, const CopyWalk& walk) {
  To* to = static_cast<To*>(args.to);
  const From* from = static_cast<const From*>(args.from);
  const bool dense = walk.rank == 0 || (walk.rank == 1 && walk.to[0] == 1 && walk.from[0] == 1);
  constexpr int N = std::min(kPack<To>, kPack<From>);
  if (!dense) {
    if constexpr (kHot<To> && kHot<From>) {
      CopyWalk packs = walk;
      if (aligned_for_packs(16, to, from) && by_packs(packs, N))
        return launch(strided_copy_kernel<To, From, kAccumulate, N>,
                      grid_for(n / N, kBlockThreads, INT32_MAX), args.stream, to, from, packs,
                      n / N);
    }
    return launch(strided_copy_kernel<To, From, kAccumulate, 1>,
                  grid_for(n, kBlockThreads, INT32_MAX), args.stream, to, from, walk, n);
  }
  if (aligned_for_packs(16, to, from))
    launch(dense_copy_kernel<To, From, kAccumulate, N>,
           grid_for((n + N - 1) / N, kBlockThreads, INT32_MAX), args.stream, to, from, n);
  else
    launch(dense_copy_kernel<To, From, kAccumulate, 1>, grid_for(n, kBlockThreads, INT32_MAX),
           args.stream, to, from, n);
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

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) fill_kernel(T* to, T value, int64_t n) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    Pack<T, N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = value;
    *reinterpret_cast<Pack<T, N>*>(to + i) = values;
    return;
  }
  for (int64_t k = i; k < n; ++k) to[k] = value;
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
    T* const to = static_cast<T*>(args.to);
    const T value = host_value<T>(args.value);
    if (aligned_for_packs(16, to))
      launch(fill_kernel<T, kPack<T>>,
             grid_for((args.n - 1) / kPack<T> + 1, kBlockThreads, INT32_MAX), args.stream, to,
             value, args.n);
    else
      launch(fill_kernel<T, 1>, grid_for(args.n, kBlockThreads, INT32_MAX), args.stream, to, value,
             args.n);
  });
}

SING_CUDA_KERNEL(kernels::strided_copy, strided_copy)
SING_CUDA_KERNEL(kernels::fill, fill)

}  // namespace
}  // namespace sing::cuda
