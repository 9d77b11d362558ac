#pragma once
// Element-wise kernels over a kernels::Walk. One kernel serves every layout: it walks in units,
// which are packs of 16 bytes where all operands allow it (dense, a row or a scalar that is
// broadcast, a dense block inside a larger tensor) and single elements else.
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/walk.h"

namespace sing::cuda {

/// Division of numbers below 2^31 by one known before: a multiplication and a shift (Granlund &
/// Montgomery 1994, "Division by invariant integers using multiplication").
struct Divider {
  uint32_t divisor, multiplier, shift;

  SING_DEVICE uint32_t quotient(uint32_t n) const { return (__umulhi(n, multiplier) + n) >> shift; }
};
inline Divider divider_of(int64_t divisor) {
  uint32_t shift = 0;
  while ((int64_t{1} << shift) < divisor) ++shift;
  const uint64_t missing = (uint64_t{1} << shift) - static_cast<uint64_t>(divisor);
  return {static_cast<uint32_t>(divisor),
          static_cast<uint32_t>((missing << 32) / static_cast<uint64_t>(divisor) + 1), shift};
}

/// A walk as kernels take it: in units, innermost dimension first.
template <int K>
struct UnitWalk {
  int rank;
  uint32_t units;  ///< below 2^31
  uint32_t last;   ///< elements of the last unit
  Divider dims[kMaxRank];
  int64_t strides[K][kMaxRank];  ///< in elements, of one step in units
};

/// Where unit number `unit` lies in each operand.
template <int K>
struct Offsets {
  int64_t of[K];
};
template <int K>
SING_DEVICE Offsets<K> offsets_of(const UnitWalk<K>& walk, uint32_t unit) {
  Offsets<K> at;
#pragma unroll
  for (int k = 0; k < K; ++k) at.of[k] = 0;
  uint32_t rest = unit;
  for (int d = 0; d < walk.rank; ++d) {
    const uint32_t outer = d + 1 < walk.rank ? walk.dims[d].quotient(rest) : 0;
    const int64_t place = rest - outer * walk.dims[d].divisor;
    rest = outer;
#pragma unroll
    for (int k = 0; k < K; ++k) at.of[k] += place * walk.strides[k][d];
  }
  return at;
}

/// Without dimensions of size 1, and with neighbours merged that all operands walk as one.
template <int K>
kernels::Walk<K> merged(const kernels::Walk<K>& walk) {
  kernels::Walk<K> result;
  result.rank = 0;
  for (size_t d = 0; d < static_cast<size_t>(walk.rank); ++d) {
    const int64_t n = walk.dims[d];
    if (n == 1) continue;
    const size_t last = static_cast<size_t>(result.rank) - 1;
    bool merges = result.rank > 0;
    for (size_t k = 0; merges && k < K; ++k)
      merges = result.strides[k][last] == walk.strides[k][d] * n;
    const size_t at = merges ? last : static_cast<size_t>(result.rank++);
    result.dims[at] = merges ? result.dims[at] * n : n;
    for (size_t k = 0; k < K; ++k) result.strides[k][at] = walk.strides[k][d];
  }
  if (result.rank == 0) {
    result.rank = 1;
    result.dims[0] = 1;
    for (size_t k = 0; k < K; ++k) result.strides[k][0] = 1;
  }
  return result;
}

/// The operands at `which` of a walk.
template <int K, size_t... kWhich>
kernels::Walk<static_cast<int>(sizeof...(kWhich))> chosen(const kernels::Walk<K>& walk,
                                                          std::index_sequence<kWhich...>) {
  kernels::Walk<static_cast<int>(sizeof...(kWhich))> result;
  result.rank = walk.rank;
  result.dims = walk.dims;
  result.strides = {walk.strides[kWhich]...};
  return result;
}

/// Whether the walk can be taken in packs of `pack` elements; `aligned` says it of each operand's
/// first element. The output is written, so it cannot be broadcast.
template <int K>
bool walks_in_packs(const kernels::Walk<K>& walk, int64_t pack,
                    const std::array<bool, K>& aligned) {
  const size_t inner = static_cast<size_t>(walk.rank) - 1;
  if (inner > 0 && walk.dims[inner] % pack != 0) return false;
  for (size_t k = 0; k < K; ++k) {
    if (walk.strides[k][inner] == 0 && k > 0) continue;
    if (walk.strides[k][inner] != 1 || !aligned[k]) return false;
    for (size_t d = 0; d < inner; ++d)
      if (walk.strides[k][d] % pack != 0) return false;
  }
  return true;
}

/// Calls run(UnitWalk, offsets of its first element) for pieces of at most `limit` units, each of
/// `pack` elements.
template <int K, class Run>
void for_each_piece(const kernels::Walk<K>& walk, int64_t pack, const Run& run,
                    std::array<int64_t, K> offsets = {}, int64_t limit = INT32_MAX) {
  const size_t inner = static_cast<size_t>(walk.rank) - 1;
  const auto units_along = [&](size_t d) {
    return d == inner ? (walk.dims[d] + pack - 1) / pack : walk.dims[d];
  };
  int64_t units = 1;
  for (size_t d = 0; d <= inner; ++d) units *= units_along(d);
  if (units == 0) return;
  if (units > limit) {
    size_t d = 0;
    while (units_along(d) == 1) ++d;
    const int64_t half = units_along(d) / 2 * (d == inner ? pack : 1);
    kernels::Walk<K> part = walk;
    part.dims[d] = half;
    for_each_piece<K>(part, pack, run, offsets, limit);
    part.dims[d] = walk.dims[d] - half;
    for (size_t k = 0; k < K; ++k) offsets[k] += half * walk.strides[k][d];
    for_each_piece<K>(part, pack, run, offsets, limit);
    return;
  }
  UnitWalk<K> result{};
  result.rank = walk.rank;
  result.units = static_cast<uint32_t>(units);
  result.last = static_cast<uint32_t>((walk.dims[inner] - 1) % pack + 1);
  for (size_t d = 0; d <= inner; ++d) {
    const size_t from = inner - d;
    result.dims[d] = divider_of(units_along(from));
    for (size_t k = 0; k < K; ++k)
      result.strides[k][d] = walk.strides[k][from] * (d == 0 ? pack : 1);
  }
  run(result, offsets);
}

/// N elements of two bytes as they lie in registers.
template <int N>
struct __attribute__((may_alias, aligned(2 * N))) Halves {
  uint32_t at[N / 2];
};

/// load_unit for elements of two bytes. Where the ways part they hold words, not elements: taking
/// the words apart there would make a thread wait for this operand before it asks for the next.
template <int N, class T>
SING_DEVICE Pack<T, N> load_halves(const T* from, bool broadcast, uint32_t count) {
  const auto bits = [&](int k) {
    return static_cast<uint32_t>(__builtin_bit_cast(uint16_t, from[k]));
  };
  Halves<N> words;
  if (broadcast) {
    const uint32_t both = bits(0) | bits(0) << 16;
#pragma unroll
    for (int w = 0; w < N / 2; ++w) words.at[w] = both;
  } else if (count == N) {
    words = *reinterpret_cast<const Halves<N>*>(from);
  } else {
    const auto at = [&](int k) { return bits(k < static_cast<int>(count) ? k : 0); };
#pragma unroll
    for (int w = 0; w < N / 2; ++w) words.at[w] = at(2 * w) | at(2 * w + 1) << 16;
  }
  Pack<T, N> pack;
#pragma unroll
  for (int k = 0; k < N; ++k)
    pack.at[k] = __builtin_bit_cast(T, static_cast<uint16_t>(words.at[k / 2] >> (k % 2 * 16)));
  return pack;
}

/// `count` elements of a unit, or its one element N times where the operand is broadcast along it.
template <int N, class T>
SING_DEVICE Pack<T, N> load_unit(const T* from, bool broadcast, uint32_t count) {
  if constexpr (N > 1 && sizeof(T) == 2) return load_halves<N>(from, broadcast, count);
  Pack<T, N> pack;
  if (N == 1 || broadcast) {
    const T value = *from;
#pragma unroll
    for (int k = 0; k < N; ++k) pack.at[k] = value;
  } else if (count == N) {
    pack = *reinterpret_cast<const Pack<T, N>*>(from);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) pack.at[k] = from[k < static_cast<int>(count) ? k : 0];
  }
  return pack;
}
template <int N, class T>
SING_DEVICE void store_unit(T* to, const Pack<T, N>& pack, uint32_t count) {
  if (count == N) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
    return;
  }
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (k < static_cast<int>(count)) to[k] = pack.at[k];
}

template <int N, class F, class Out, class... In>
SING_DEVICE Pack<Out, N> map_packs(const F& f, const Pack<In, N>&... in) {
  Pack<Out, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.at[k] = f(in.at[k]...);
  return out;
}

template <int N, class F, class Out, class... In, size_t... kInput>
SING_DEVICE void map_unit(const F& f, const UnitWalk<1 + sizeof...(In)>& walk,
                          std::index_sequence<kInput...>, Out* out, const In*... in) {
  const uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x;
  if (unit >= walk.units) return;
  const auto at = offsets_of(walk, unit);
  const uint32_t count = unit + 1 == walk.units ? walk.last : N;
  store_unit<N>(
      out + at.of[0],
      map_packs<N, F, Out, In...>(
          f, load_unit<N>(in + at.of[1 + kInput], walk.strides[1 + kInput][0] == 0, count)...),
      count);
}

/// out = f(in...), one unit of N elements per thread.
template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(kBlockThreads)
    walk_kernel(F f, UnitWalk<1 + static_cast<int>(sizeof...(In))> walk, Out* out,
                const In*... in) {
  map_unit<N, F, Out, In...>(f, walk, std::index_sequence_for<In...>{}, out, in...);
}

/// Launches out = f(in...) over `walk` (operands: out, in...), with `packed` for packs and `single`
/// for single elements: the same function, of which the second may be a slower form that saves
/// code.
template <class Packed, class Single, class Out, class... In>
void run_walk(Stream stream, const kernels::Walk<1 + static_cast<int>(sizeof...(In))>& walk,
              const Packed& packed, const Single& single, Out* out, const In*... in) {
  constexpr int K = 1 + static_cast<int>(sizeof...(In));
  constexpr int N = 16 / static_cast<int>(std::max({sizeof(Out), sizeof(In)...}));
  const kernels::Walk<K> whole = merged(walk);
  const auto start = [&]<int kUnit, size_t... kInput>(const auto& f,
                                                      std::index_sequence<kInput...>) {
    using F = std::remove_cvref_t<decltype(f)>;
    for_each_piece<K>(
        whole, kUnit, [&](const UnitWalk<K>& units, const std::array<int64_t, K>& offsets) {
          launch(walk_kernel<kUnit, F, Out, In...>, grid_for(units.units, kBlockThreads, INT32_MAX),
                 stream, f, units, out + offsets[0], (in + offsets[1 + kInput])...);
        });
  };
  constexpr auto kInputs = std::index_sequence_for<In...>{};
  if (walks_in_packs<K>(
          whole, N,
          {aligned_for_packs(N * sizeof(Out), out), aligned_for_packs(N * sizeof(In), in)...}))
    start.template operator()<N>(packed, kInputs);
  else
    start.template operator()<1>(single, kInputs);
}

}  // namespace sing::cuda
