// Dropout of f32 and bf16.
#include "kernels/dropout.h"

#include "backend/cpu/simd/elements.h"
#include "backend/cpu/simd/philox.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kGrain = 1 << 12;

template <bool kBf16>
void map_range(const DropoutArgs& a, const PhiloxKey& key, int64_t begin, int64_t end) {
  using E = Elements<kBf16>;
  const vf scale = set1(static_cast<float>(a.scale));
  // Unsigned words are compared as signed ones with the top bit turned. threshold <= 2^32 - 1 here.
  const vi threshold =
      splat(static_cast<int32_t>(static_cast<uint32_t>(a.threshold) ^ 0x80000000u));
  alignas(64) uint32_t words[kPhiloxWords];
  for (int64_t i = begin; i < end; i += kPhiloxWords) {
    random_words(key, static_cast<uint64_t>(i) / 4, words);
    for (int64_t j = 0; j < kPhiloxWords && i + j < end; j += kWidth) {
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
  const auto words = philox_key(a.key);
  const PhiloxKey key{words[0], words[1], static_cast<uint32_t>(a.key.position),
                      static_cast<uint32_t>(a.key.position >> 32)};
  parallel_ranges(a.n, kGrain, [&](int64_t begin, int64_t end) {
    if (a.dtype == DType::bf16)
      map_range<true>(a, key, begin, end);
    else
      map_range<false>(a, key, begin, end);
  });
  return true;
}

SING_SIMD_KERNEL(dropout_map, dropout, "dropout")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
