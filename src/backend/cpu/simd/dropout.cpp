// Dropout of f32 and bf16. One block of Philox4x32-10 per 64-bit lane; the upper halves of the
// state words hold leftovers that the 32-bit multiplication does not see.
#include "kernels/dropout.h"

#include "backend/cpu/simd/elements.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kGrain = 1 << 12;

#if defined(__AVX512F__)
typedef uint64_t vu __attribute__((vector_size(64)));
constexpr int kBlocks = 8;
SING_INLINE vu multiply(vu a, uint64_t b) {
  return reinterpret_cast<vu>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(vu{} + b)));
}
#else
typedef uint64_t vu __attribute__((vector_size(32)));
constexpr int kBlocks = 4;
SING_INLINE vu multiply(vu a, uint64_t b) {
  return reinterpret_cast<vu>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(vu{} + b)));
}
#endif

/// The 4 * kBlocks random words of blocks `block`, `block` + 1, ... in order of their index.
SING_INLINE void random_words(const DropoutArgs& a, uint64_t block, uint32_t* words) {
  vu number;
  for (int i = 0; i < kBlocks; ++i) number[i] = block + static_cast<uint64_t>(i);
  vu c0 = number, c1 = number >> 32;
  vu c2 = vu{} + (a.position & 0xffffffffu);
  vu c3 = vu{} + (a.position >> 32);
  uint32_t k0 = a.key[0], k1 = a.key[1];
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const vu p = multiply(c0, 0xD2511F53u), q = multiply(c2, 0xCD9E8D57u);
    c0 = (q >> 32) ^ c1 ^ static_cast<uint64_t>(k0);
    c1 = q;
    c2 = (p >> 32) ^ c3 ^ static_cast<uint64_t>(k1);
    c3 = p;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const vu low = vu{} + 0xffffffffu;
  const vu first = (c0 & low) | (c1 << 32), second = (c2 & low) | (c3 << 32);
  uint64_t* pairs = reinterpret_cast<uint64_t*>(words);
  for (int i = 0; i < kBlocks; ++i) {
    pairs[2 * i] = first[i];
    pairs[2 * i + 1] = second[i];
  }
}

template <bool kBf16>
void map_range(const DropoutArgs& a, int64_t begin, int64_t end) {
  using E = Elements<kBf16>;
  const vf scale = set1(static_cast<float>(a.scale));
  // Unsigned words are compared as signed ones with the top bit turned. threshold <= 2^32 - 1 here.
  const vi threshold =
      splat(static_cast<int32_t>(static_cast<uint32_t>(a.threshold) ^ 0x80000000u));
  alignas(64) uint32_t words[4 * kBlocks];
  for (int64_t i = begin; i < end; i += 4 * kBlocks) {
    random_words(a, static_cast<uint64_t>(i) / 4, words);
    for (int64_t j = 0; j < 4 * kBlocks && i + j < end; j += kWidth) {
      const vi bits = as_int(load(reinterpret_cast<const float*>(words) + j)) ^ INT32_MIN;
      const int64_t left = end - i - j;
      const Mask lanes = first(left < kWidth ? left : kWidth);
      const vf x = E::get(a.x, i + j, lanes);
      E::put(a.y, i + j, (bits >= threshold) ? x * scale : vf{}, lanes);
    }
  }
}

bool dropout(const DropoutArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || a.threshold > 0xffffffffu) return false;
  parallel_ranges(a.n, kGrain, [&](int64_t begin, int64_t end) {
    if (a.dtype == DType::bf16)
      map_range<true>(a, begin, end);
    else
      map_range<false>(a, begin, end);
  });
  return true;
}

SING_SIMD_KERNEL(dropout_map, dropout, "dropout")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
