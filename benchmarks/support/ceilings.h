#pragma once
// What this processor can do at best, measured in the process that is compared with it: a loop of
// fused multiply-adds in registers, and a copy of memory larger than any cache. One thread.
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

namespace sing::bench {

/// Seconds of processor time this thread has used: neighbours on the machine do not count.
inline double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Seconds of processor time of all threads of this process.
inline double process_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Ceilings {
  double flops = 0;  ///< f32, a fused multiply-add counts as two
  double bytes = 0;  ///< per second, read + written
};

namespace detail {

constexpr int kChains = 12;  // enough to hide the latency of two units

__attribute__((target("avx512f"))) inline float fma_loop_512(int64_t rounds) {
  __m512 x[kChains];
  const __m512 a = _mm512_set1_ps(0.999999f), b = _mm512_set1_ps(1e-6f);
  for (int i = 0; i < kChains; ++i) x[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm512_fmadd_ps(x[i], a, b);
  __m512 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm512_add_ps(sum, x[i]);
  return _mm512_cvtss_f32(sum);
}

__attribute__((target("avx2,fma"))) inline float fma_loop_256(int64_t rounds) {
  __m256 x[kChains];
  const __m256 a = _mm256_set1_ps(0.999999f), b = _mm256_set1_ps(1e-6f);
  for (int i = 0; i < kChains; ++i) x[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm256_fmadd_ps(x[i], a, b);
  __m256 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm256_add_ps(sum, x[i]);
  return _mm256_cvtss_f32(sum);
}

__attribute__((target("avx512f,avx512bf16"))) inline float bf16_loop(int64_t rounds) {
  __m512 x[kChains];
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f)),
                 b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3f), _mm512_set1_ps(2e-3f));
  for (int i = 0; i < kChains; ++i) x[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm512_dpbf16_ps(x[i], a, b);
  __m512 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm512_add_ps(sum, x[i]);
  return _mm512_cvtss_f32(sum);
}

/// Best of a few tries: the ceiling is what the processor can do undisturbed.
template <class F>
double best_rate(double work, F&& f) {
  double best = 0;
  for (int i = 0; i < 7; ++i) {
    const double before = thread_seconds();
    f();
    best = std::max(best, work / (thread_seconds() - before));
  }
  return best;
}

}  // namespace detail

/// FLOP/s of products of bf16 pairs in registers, 0 where the processor has none. Tiles (AMX) can
/// do more.
inline double bf16_ceiling() {
  constexpr int64_t kRounds = 4'000'000;
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
  volatile float sink = 0;
  return detail::best_rate(4.0 * detail::kChains * 16 * kRounds,
                           [&] { sink = detail::bf16_loop(kRounds); });
}

inline Ceilings measure_ceilings() {
  constexpr int64_t kRounds = 4'000'000;
  constexpr size_t kBytes = size_t{128} << 20;
  const bool wide = __builtin_cpu_supports("avx512f");
  volatile float sink = 0;
  Ceilings c;
  c.flops = detail::best_rate(2.0 * detail::kChains * (wide ? 16 : 8) * kRounds, [&] {
    sink = wide ? detail::fma_loop_512(kRounds) : detail::fma_loop_256(kRounds);
  });
  std::vector<char> from(kBytes, 1), to(kBytes, 2);
  c.bytes = detail::best_rate(2.0 * kBytes, [&] {
    std::memcpy(to.data(), from.data(), kBytes);
    sink = to[kBytes / 2];
  });
  return c;
}

}  // namespace sing::bench
