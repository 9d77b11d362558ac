#pragma once
// Rows that fit on chip: a warp or a block holds one in registers, so that it is read once however
// often it is used.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {

/// The combination over a warp or a block of kThreads, in every thread.
template <int kThreads, class V, class Combine = Sum>
SING_DEVICE V group_reduce(V value, V identity, Combine combine = {}) {
  if constexpr (kThreads == kWarp)
    return warp_reduce(value, combine);
  else
    return block_reduce(value, identity, combine);
}

/// 16 bytes of f32 or bf16 elements in four registers; taken apart when they are used, since the
/// compiler would spend a register on each bf16.
template <class T>
struct __attribute__((may_alias, aligned(16))) Words {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, bfloat16>);
  uint32_t at[4];

  SING_DEVICE float value(int k) const {
    if constexpr (std::is_same_v<T, float>)
      return float_of(at[k]);
    else
      return float_of(k % 2 == 0 ? at[k / 2] << 16 : at[k / 2] & 0xffff0000u);
  }
};
/// Rounds the N numbers that `value` returns for 0..N-1 into words.
template <class T, class F>
SING_DEVICE Words<T> words_of(F value) {
  Words<T> result;
#pragma unroll
  for (int w = 0; w < 4; ++w)
    if constexpr (std::is_same_v<T, float>)
      result.at[w] = bits_of(value(w));
    else
      result.at[w] = static_cast<uint32_t>(narrow_bf16(value(2 * w)).bits) |
                     static_cast<uint32_t>(narrow_bf16(value(2 * w + 1)).bits) << 16;
  return result;
}

/// Packs `own`, own + kThreads, ... of a row of `count` packs; those past its end are zero.
template <class T, int kItems, int kThreads>
struct RowPart {
  Words<T> packs[kItems];

  SING_DEVICE void load(const T* row, int own, int count) {
#pragma unroll
    for (int i = 0; i < kItems; ++i)
      packs[i] = own + i * kThreads < count
                     ? reinterpret_cast<const Words<T>*>(row)[own + i * kThreads]
                     : Words<T>{};
  }
  SING_DEVICE float value(int item, int k) const {
    return packs[item].value(k);
  }

  /// Makes the compiler forget what it knows of the words: otherwise it keeps each element as f32
  /// from one use to the next, in twice the registers.
  SING_DEVICE void forget() {
#if defined(__CUDA_ARCH__)
    if constexpr (!std::is_same_v<T, float>)
#pragma unroll
      for (int i = 0; i < kItems; ++i)
#pragma unroll
        for (int w = 0; w < 4; ++w) asm volatile("" : "+r"(packs[i].at[w]));
#endif
  }
};

/// Threads of a block whose warps hold a row each, and of one that holds a row together.
inline constexpr int kWarpRowThreads = 128, kBlockRowThreads = 256;

/// Calls run.operator()<kItems, kThreads>() for the smallest part that holds `packs`, and returns
/// true; false where the row does not fit.
template <class Run>
bool with_row_part(int64_t packs, Run&& run) {
  if (packs <= kWarp)
    run.template operator()<1, kWarp>();
  else if (packs <= 2 * kWarp)
    run.template operator()<2, kWarp>();
  else if (packs <= 3 * kWarp)
    run.template operator()<3, kWarp>();
  else if (packs <= 4 * kWarp)
    run.template operator()<4, kWarp>();
  else if (packs <= kBlockRowThreads)
    run.template operator()<1, kBlockRowThreads>();
  else if (packs <= 2 * kBlockRowThreads)
    run.template operator()<2, kBlockRowThreads>();
  else if (packs <= 4 * kBlockRowThreads)
    run.template operator()<4, kBlockRowThreads>();
  else
    return false;
  return true;
}

/// Threads of a block, and rows it holds at a time.
template <int kThreads>
inline constexpr int kRowBlock = kThreads == kWarp ? kWarpRowThreads : kBlockRowThreads;
template <int kThreads>
inline constexpr int kRowsPerBlock = kRowBlock<kThreads> / kThreads;

/// One row for every group of kThreads.
template <int kThreads>
Grid one_row_grid(int64_t rows) {
  constexpr int kRows = kRowsPerBlock<kThreads>;
  return {dim3(static_cast<unsigned>((rows + kRows - 1) / kRows)), dim3(kRowBlock<kThreads>), 0};
}
/// Every group takes one row, or where there are many about four: what all rows share (weights) is
/// then read once for them.
template <int kThreads>
Grid row_grid(int64_t rows) {
  const int64_t blocks = (rows + kRowsPerBlock<kThreads> - 1) / kRowsPerBlock<kThreads>;
  return {dim3(static_cast<unsigned>(blocks < 4 * 2112 ? blocks : (blocks + 3) / 4)),
          dim3(kRowBlock<kThreads>), 0};
}

}  // namespace sing::cuda
