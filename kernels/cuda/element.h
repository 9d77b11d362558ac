#pragma once
// Elements as kernels see them: numbers to compute with, and several at a time in 16 bytes.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "sing/core/dtype.h"
#include "sing/core/error.h"

#define SING_DEVICE __device__ __forceinline__
#define SING_HOST_DEVICE __host__ __device__ __forceinline__

namespace sing::cuda {

/// What element type T is computed in: f64 for f64, f32 for the narrower floating types, T else.
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<bfloat16> {
  using type = float;
};
template <>
struct ComputeType<float16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeType<T>::type;

SING_DEVICE uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(uint32_t, x);
#endif
}
SING_DEVICE float float_of(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

SING_DEVICE float widen(bfloat16 x) {
  return float_of(static_cast<uint32_t>(x.bits) << 16);
}
SING_DEVICE bfloat16 narrow_bf16(float x) {
  bfloat16 result;
#if defined(__CUDA_ARCH__)
  // cvt.rn rounds to nearest even and keeps NaN a NaN, in one instruction.
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  result.bits = bits;
#else
  const uint32_t u = bits_of(x);
  result.bits = (u & 0x7fffffffu) > 0x7f800000u
                    ? static_cast<uint16_t>((u >> 16) | 0x40u)
                    : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
  return result;
}
SING_DEVICE float widen(float16 x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
#else
  return static_cast<float>(x);
#endif
}
SING_DEVICE float16 narrow_f16(float x) {
#if defined(__CUDA_ARCH__)
  float16 result;
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  result.bits = bits;
  return result;
#else
  return float16(x);
#endif
}

/// The number an element stands for.
template <class T>
SING_DEVICE compute_t<T> to_value(T x) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return widen(x);
  else
    return x;
}
/// The element nearest to a number; boolean is x != 0, integers truncate.
template <class T, class V>
SING_DEVICE T from_value(V x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return narrow_bf16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, float16>)
    return narrow_f16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, bool>)
    return x != V{};
  else
    return static_cast<T>(x);
}

/// N elements that are read or written in one access; N * sizeof(T) is at most 16 and the address
/// a multiple of it.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Whether all pointers allow packs of N elements of `size` bytes.
template <class... Pointers>
bool aligned_for_packs(size_t bytes, const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % bytes == 0) && ...);
}

/// Calls f(T{}) for the floating dtypes kernels of this backend compute in: f32 and bf16, f64 too
/// with `kWide`. Throws NotImplementedError naming `op` for others.
template <bool kWide = false, class F>
void dispatch_floating(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bfloat16{});
    case DType::f64:
      if constexpr (kWide) return f(double{});
      [[fallthrough]];
    default:
      throw NotImplementedError(std::string(op) + ": no CUDA kernel for " +
                                std::string(name_of(dtype)) + ", only for f32 and bf16");
  }
}
/// Calls f(T{}) for i64 and i32 (indices).
template <class F>
void dispatch_index(const char* op, DType dtype, F&& f) {
  if (dtype == DType::i64) return f(int64_t{});
  if (dtype == DType::i32) return f(int32_t{});
  throw NotImplementedError(std::string(op) + ": indices must be i64 or i32, not " +
                            std::string(name_of(dtype)));
}

}  // namespace sing::cuda
