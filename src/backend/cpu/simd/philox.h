#pragma once
// Rows of sing::random_bits (Philox4x32-10), kWidth blocks at a time.
#include "backend/cpu/simd/simd.h"
#include "sing/core/random.h"

namespace sing::kernels::SING_SIMD {
namespace {

struct PhiloxKey {
  uint32_t k0, k1, position_low, position_high;
};

#if defined(__AVX512F__)
using vu = __m512i;
SING_INLINE vu set1u(uint32_t x) {
  return _mm512_set1_epi32(static_cast<int>(x));
}
SING_INLINE vu even_product(vu a, vu b) {
  return _mm512_mul_epu32(a, b);
}
SING_INLINE vu odd_lanes(vu a) {
  return _mm512_srli_epi64(a, 32);
}
SING_INLINE vu add32(vu a, vu b) {
  return _mm512_add_epi32(a, b);
}
SING_INLINE vu exclusive_or(vu a, vu b) {
  return _mm512_xor_si512(a, b);
}
/// Even lanes of a, odd lanes of b.
SING_INLINE vu mix_lanes(vu a, vu b) {
  return _mm512_mask_blend_epi32(0xaaaa, a, b);
}
SING_INLINE vu to_odd(vu a) {
  return _mm512_slli_epi64(a, 32);
}
SING_INLINE void store_bits(uint32_t* p, vu x) {
  _mm512_storeu_si512(p, x);
}
SING_INLINE vu load_bits(const uint32_t* p) {
  return _mm512_loadu_si512(p);
}
#else
using vu = __m256i;
SING_INLINE vu set1u(uint32_t x) {
  return _mm256_set1_epi32(static_cast<int>(x));
}
SING_INLINE vu even_product(vu a, vu b) {
  return _mm256_mul_epu32(a, b);
}
SING_INLINE vu odd_lanes(vu a) {
  return _mm256_srli_epi64(a, 32);
}
SING_INLINE vu add32(vu a, vu b) {
  return _mm256_add_epi32(a, b);
}
SING_INLINE vu exclusive_or(vu a, vu b) {
  return _mm256_xor_si256(a, b);
}
/// Even lanes of a, odd lanes of b.
SING_INLINE vu mix_lanes(vu a, vu b) {
  return _mm256_blend_epi32(a, b, 0xaa);
}
SING_INLINE vu to_odd(vu a) {
  return _mm256_slli_epi64(a, 32);
}
SING_INLINE void store_bits(uint32_t* p, vu x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
SING_INLINE vu load_bits(const uint32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
#endif

/// Low and high words of the lane-wise products x * m.
SING_INLINE void multiply_wide(vu x, uint32_t m, vu& low, vu& high) {
  const vu even = even_product(x, set1u(m)), odd = even_product(odd_lanes(x), set1u(m));
  low = mix_lanes(even, to_odd(odd));
  high = mix_lanes(odd_lanes(even), odd);
}

/// out[0..n) = random_bits(key, index + 0..n). Writes up to 4 * kWidth + 3 words beyond n.
inline void random_row(const PhiloxKey& key, uint64_t index, int64_t n, uint32_t* out) {
  const int64_t skip = static_cast<int64_t>(index % 4);
  uint32_t lanes[4][kWidth];
  uint32_t* to = out;
  int64_t have = -skip;
  for (uint64_t block = index / 4; have < n; block += kWidth) {
    for (int l = 0; l < kWidth; ++l) {
      const uint64_t number = block + static_cast<uint64_t>(l);
      lanes[0][l] = static_cast<uint32_t>(number);
      lanes[1][l] = static_cast<uint32_t>(number >> 32);
    }
    vu c0 = load_bits(lanes[0]), c1 = load_bits(lanes[1]), c2 = set1u(key.position_low),
       c3 = set1u(key.position_high);
    uint32_t k0 = key.k0, k1 = key.k1;
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      vu low0, high0, low1, high1;
      multiply_wide(c0, 0xD2511F53u, low0, high0);
      multiply_wide(c2, 0xCD9E8D57u, low1, high1);
      c0 = exclusive_or(exclusive_or(high1, c1), set1u(k0));
      c1 = low1;
      c2 = exclusive_or(exclusive_or(high0, c3), set1u(k1));
      c3 = low0;
    }
    store_bits(lanes[0], c0);
    store_bits(lanes[1], c1);
    store_bits(lanes[2], c2);
    store_bits(lanes[3], c3);
    for (int l = 0; l < kWidth; ++l)
      for (int w = 0; w < 4; ++w, ++have)
        if (have >= 0) *to++ = lanes[w][l];
  }
}

}  // namespace
}  // namespace sing::kernels::SING_SIMD
