#pragma once
// Element access of f32 or bf16 arrays for kernels written once for both.
#include "backend/cpu/simd/simd.h"
#include "sing/core/dtype.h"

namespace sing::kernels::SING_SIMD {
namespace {

template <bool kBf16>
struct Elements {
  static SING_INLINE vf get(const void* base, int64_t at) {
    if constexpr (kBf16)
      return load_bf16(static_cast<const uint16_t*>(base) + at);
    else
      return load(static_cast<const float*>(base) + at);
  }
  static SING_INLINE vf get(const void* base, int64_t at, Mask lanes) {
    if constexpr (kBf16)
      return load_bf16(static_cast<const uint16_t*>(base) + at, lanes);
    else
      return load(static_cast<const float*>(base) + at, lanes);
  }
  static SING_INLINE void put(void* base, int64_t at, vf x) {
    if constexpr (kBf16)
      store_bf16(static_cast<uint16_t*>(base) + at, x);
    else
      store(static_cast<float*>(base) + at, x);
  }
  static SING_INLINE void put(void* base, int64_t at, vf x, Mask lanes) {
    if constexpr (kBf16)
      store_bf16(static_cast<uint16_t*>(base) + at, x, lanes);
    else
      store(static_cast<float*>(base) + at, x, lanes);
  }
};

SING_INLINE vi splat(int32_t x) {
  return vi{} + x;
}

SING_INLINE bool is_f32_or_bf16(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16;
}

/// to[i] += lane i, for the first n lanes.
SING_INLINE void add_wide(double* to, vf x, int64_t n) {
  float lanes[kWidth];
  store(lanes, x);
  for (int64_t i = 0; i < n; ++i) to[i] += static_cast<double>(lanes[i]);
}

/// The sum of all lanes, in f64 and in order.
SING_INLINE double sum_wide(vf x) {
  float lanes[kWidth];
  store(lanes, x);
  double total = 0;
  for (int i = 0; i < kWidth; ++i) total += static_cast<double>(lanes[i]);
  return total;
}

}  // namespace
}  // namespace sing::kernels::SING_SIMD
