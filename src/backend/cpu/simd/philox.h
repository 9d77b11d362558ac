#pragma once
// sing::random_bits (Philox4x32-10), kPhiloxBlocks blocks at a time: one block per 64-bit lane. The
// upper halves of the state words hold leftovers that the 32-bit multiplication does not see.
#include <string.h>

#include "backend/cpu/simd/simd.h"

namespace sing::kernels::SING_SIMD {
namespace {

struct PhiloxKey {
  uint32_t k0, k1, position_low, position_high;
};

#if defined(__AVX512F__)
constexpr int kPhiloxBlocks = 8;
typedef uint64_t vu __attribute__((vector_size(64)));
SING_INLINE vu multiply_low(vu a, uint64_t b) {
  return reinterpret_cast<vu>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(vu{} + b)));
}
#else
constexpr int kPhiloxBlocks = 4;
typedef uint64_t vu __attribute__((vector_size(32)));
SING_INLINE vu multiply_low(vu a, uint64_t b) {
  return reinterpret_cast<vu>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(vu{} + b)));
}
#endif
/// Words that one call of random_words writes.
constexpr int kPhiloxWords = 4 * kPhiloxBlocks;

/// words[k] = random_bits(key, 4 * block + k), k < kPhiloxWords.
SING_INLINE void random_words(const PhiloxKey& key, uint64_t block, uint32_t* words) {
  vu number;
  for (int i = 0; i < kPhiloxBlocks; ++i) number[i] = block + static_cast<uint64_t>(i);
  vu c0 = number, c1 = number >> 32;
  vu c2 = vu{} + static_cast<uint64_t>(key.position_low);
  vu c3 = vu{} + static_cast<uint64_t>(key.position_high);
  uint32_t k0 = key.k0, k1 = key.k1;
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const vu p = multiply_low(c0, 0xD2511F53u), q = multiply_low(c2, 0xCD9E8D57u);
    c0 = (q >> 32) ^ c1 ^ static_cast<uint64_t>(k0);
    c1 = q;
    c2 = (p >> 32) ^ c3 ^ static_cast<uint64_t>(k1);
    c3 = p;
  }
  const vu low = vu{} + 0xffffffffu;
  const vu first_pair = (c0 & low) | (c1 << 32), second_pair = (c2 & low) | (c3 << 32);
  uint64_t pairs[2 * kPhiloxBlocks];
  for (int i = 0; i < kPhiloxBlocks; ++i) {
    pairs[2 * i] = first_pair[i];
    pairs[2 * i + 1] = second_pair[i];
  }
  memcpy(words, pairs, sizeof pairs);
}

/// out[0..n) = random_bits(key, index + 0..n). Writes up to kPhiloxWords words beyond n, which is
/// less than 4 * kWidth.
inline void random_row(const PhiloxKey& key, uint64_t index, int64_t n, uint32_t* out) {
  const int64_t skip = static_cast<int64_t>(index % 4);
  uint64_t block = index / 4;
  int64_t have = 0;
  if (skip > 0) {
    uint32_t words[kPhiloxWords];
    random_words(key, block, words);
    block += kPhiloxBlocks;
    have = kPhiloxWords - skip;
    memcpy(out, words + skip, static_cast<size_t>(have) * sizeof(uint32_t));
  }
  for (; have < n; have += kPhiloxWords, block += kPhiloxBlocks)
    random_words(key, block, out + have);
}

}  // namespace
}  // namespace sing::kernels::SING_SIMD
