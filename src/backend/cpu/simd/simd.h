#pragma once
// Vector code that is compiled once per instruction set (cmake/simd.cmake), each time into its own
// namespace:
//
//   namespace sing::kernels::SING_SIMD { namespace { ... } }
//
// Rule for files in this folder: no templates or inline functions that other translation units
// could share (std containers and algorithms, to_value, bfloat16): the linker would keep one copy,
// perhaps the one with the instructions this processor lacks. C headers, this header, plain
// structs from kernels/*.h, and lambdas handed to parallel_for are safe. Static initialisers only
// pass pointers.
#include <immintrin.h>
#include <stdint.h>

#include "sing/backend/kernel_slot.h"
#include "sing/backend/runtime.h"

#define SING_SIMD_TEXT_INNER(x) #x
#define SING_SIMD_TEXT(x) SING_SIMD_TEXT_INNER(x)

/// At namespace scope: offers FUNCTION (bool(const Args&)) for SLOT when this is the level in use.
#define SING_SIMD_KERNEL(SLOT, FUNCTION, NAME)                               \
  [[maybe_unused]] static const bool SING_CONCAT(registered_, __COUNTER__) = \
      ::sing::kernels::SING_SIMD::is_level_in_use() &&                       \
      SLOT.add_fast(FUNCTION, ::sing::kernels::SING_SIMD::kPriority,         \
                    NAME "_" SING_SIMD_TEXT(SING_SIMD));

namespace sing::kernels::SING_SIMD {
namespace {

inline bool is_level_in_use() {
  const char* wanted = backend::cpu_isa().c_str();
  const char* ours = SING_SIMD_TEXT(SING_SIMD);
  while (*wanted != 0 && *wanted == *ours) ++wanted, ++ours;
  return *wanted == *ours;
}

#if defined(__AVX512F__)
constexpr int kPriority = 300;
constexpr int kWidth = 16;  // floats in a vector
using vf = __m512;
typedef int32_t vi __attribute__((vector_size(64)));
#else
constexpr int kPriority = 200;
constexpr int kWidth = 8;
using vf = __m256;
typedef int32_t vi __attribute__((vector_size(32)));
#endif

#define SING_INLINE inline __attribute__((always_inline))

// Arithmetic and comparisons are the compiler's operators (a + b, a < b ? x : y); what follows is
// what they lack.

SING_INLINE vf set1(float x) {  // vf{} + x would lose the sign of zero, at the price of an add
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#else
  return _mm256_set1_ps(x);
#endif
}
SING_INLINE vi as_int(vf x) {
  return reinterpret_cast<vi>(x);
}
SING_INLINE vf as_float(vi x) {
  return reinterpret_cast<vf>(x);
}

#if defined(__AVX512F__)

SING_INLINE vf load(const float* p) {
  return _mm512_loadu_ps(p);
}
SING_INLINE void store(float* p, vf x) {
  _mm512_storeu_ps(p, x);
}
/// A mask of the first n lanes, 0 <= n <= kWidth.
using Mask = __mmask16;
SING_INLINE Mask first(int64_t n) {
  return static_cast<Mask>((1u << n) - 1u);
}
/// Lanes outside the mask are not touched in memory and read as zero.
SING_INLINE vf load(const float* p, Mask mask) {
  return _mm512_maskz_loadu_ps(mask, p);
}
SING_INLINE void store(float* p, vf x, Mask mask) {
  _mm512_mask_storeu_ps(p, mask, x);
}
/// x where the mask is set, else other.
SING_INLINE vf keep(Mask mask, vf x, vf other) {
  return _mm512_mask_blend_ps(mask, other, x);
}
/// a * b + c, rounded once.
SING_INLINE vf fma(vf a, vf b, vf c) {
  return _mm512_fmadd_ps(a, b, c);
}
/// c - a * b, rounded once.
SING_INLINE vf fnma(vf a, vf b, vf c) {
  return _mm512_fnmadd_ps(a, b, c);
}
/// A NaN in `a` is lost, a NaN in `b` stays.
SING_INLINE vf max(vf a, vf b) {
  return _mm512_max_ps(a, b);
}
SING_INLINE vf min(vf a, vf b) {
  return _mm512_min_ps(a, b);
}
SING_INLINE vf sqrt(vf x) {
  return _mm512_sqrt_ps(x);
}
SING_INLINE vf abs(vf x) {
  return _mm512_abs_ps(x);
}
SING_INLINE vf round_nearest(vf x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SING_INLINE vi to_int(vf x) {
  return reinterpret_cast<vi>(_mm512_cvtps_epi32(x));
}
SING_INLINE vf to_float(vi x) {
  return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(x));
}
/// x * 2^n for integral n.
SING_INLINE vf scale_by_power(vf x, vf n) {
  return _mm512_scalef_ps(x, n);
}
/// Sums of halves, then quarters, ...: the order never changes.
SING_INLINE float sum(vf x) {
  return _mm512_reduce_add_ps(x);
}
SING_INLINE float largest(vf x) {
  return _mm512_reduce_max_ps(x);
}
/// bf16 storage (upper halves of floats).
SING_INLINE vf load_bf16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
SING_INLINE vf load_bf16(const uint16_t* p, Mask mask) {
  const __m256i bits = _mm256_maskz_loadu_epi16(mask, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
SING_INLINE __m256i bf16_bits(vf x) {
  const vi u = as_int(x);
  const vi even = reinterpret_cast<vi>(_mm512_srli_epi32(reinterpret_cast<__m512i>(u), 16)) & 1;
  vi r =
      reinterpret_cast<vi>(_mm512_srli_epi32(reinterpret_cast<__m512i>(u + (even + 0x7fff)), 16));
  const vi quiet = reinterpret_cast<vi>(_mm512_srli_epi32(reinterpret_cast<__m512i>(u), 16)) | 0x40;
  r = (x != x) ? quiet : r;
  return _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(r));
}
SING_INLINE void store_bf16(uint16_t* p, vf x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bf16_bits(x));
}
SING_INLINE void store_bf16(uint16_t* p, vf x, Mask mask) {
  _mm256_mask_storeu_epi16(p, mask, bf16_bits(x));
}

#else

SING_INLINE vf load(const float* p) {
  return _mm256_loadu_ps(p);
}
SING_INLINE void store(float* p, vf x) {
  _mm256_storeu_ps(p, x);
}
/// A mask of the first n lanes, 0 <= n <= kWidth.
struct Mask {
  __m256i lanes;
  int count;
};
SING_INLINE Mask first(int64_t n) {
  const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return {reinterpret_cast<__m256i>(lane < static_cast<int32_t>(n)), static_cast<int>(n)};
}
/// Lanes outside the mask are not touched in memory and read as zero.
SING_INLINE vf load(const float* p, Mask mask) {
  return _mm256_maskload_ps(p, mask.lanes);
}
SING_INLINE void store(float* p, vf x, Mask mask) {
  _mm256_maskstore_ps(p, mask.lanes, x);
}
/// x where the mask is set, else other.
SING_INLINE vf keep(Mask mask, vf x, vf other) {
  return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(mask.lanes));
}
/// a * b + c, rounded once.
SING_INLINE vf fma(vf a, vf b, vf c) {
  return _mm256_fmadd_ps(a, b, c);
}
/// c - a * b, rounded once.
SING_INLINE vf fnma(vf a, vf b, vf c) {
  return _mm256_fnmadd_ps(a, b, c);
}
/// A NaN in `a` is lost, a NaN in `b` stays.
SING_INLINE vf max(vf a, vf b) {
  return _mm256_max_ps(a, b);
}
SING_INLINE vf min(vf a, vf b) {
  return _mm256_min_ps(a, b);
}
SING_INLINE vf sqrt(vf x) {
  return _mm256_sqrt_ps(x);
}
SING_INLINE vf abs(vf x) {
  return as_float(as_int(x) & 0x7fffffff);
}
SING_INLINE vf round_nearest(vf x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SING_INLINE vi to_int(vf x) {
  return reinterpret_cast<vi>(_mm256_cvtps_epi32(x));
}
SING_INLINE vf to_float(vi x) {
  return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(x));
}
/// x * 2^n for integral n; in two halves, so that the result may be subnormal or overflow.
SING_INLINE vf scale_by_power(vf x, vf n) {
  const vi whole = to_int(n), half = whole >> 1;
  return x * as_float((half + 127) << 23) * as_float((whole - half + 127) << 23);
}
/// Sums of halves, then quarters, ...: the order never changes.
SING_INLINE float sum(vf x) {
  __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  h = _mm_add_ss(h, _mm_movehdup_ps(h));
  return _mm_cvtss_f32(h);
}
SING_INLINE float largest(vf x) {
  __m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_max_ps(h, _mm_movehl_ps(h, h));
  h = _mm_max_ss(h, _mm_movehdup_ps(h));
  return _mm_cvtss_f32(h);
}
/// bf16 storage (upper halves of floats).
SING_INLINE vf load_bf16(const uint16_t* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
SING_INLINE vf load_bf16(const uint16_t* p, Mask mask) {
  uint16_t some[kWidth] = {};
  for (int i = 0; i < mask.count; ++i) some[i] = p[i];
  return load_bf16(some);
}
SING_INLINE __m128i bf16_bits(vf x) {
  const vi u = as_int(x);
  const vi upper = (u >> 16) & 0xffff;
  const vi rounded = ((u + ((upper & 1) + 0x7fff)) >> 16) & 0xffff;
  const vi bits = (x != x) ? (upper | 0x40) : rounded;
  const __m256i packed = _mm256_permute4x64_epi64(
      _mm256_packus_epi32(reinterpret_cast<__m256i>(bits), reinterpret_cast<__m256i>(bits)), 0xd8);
  return _mm256_castsi256_si128(packed);
}
SING_INLINE void store_bf16(uint16_t* p, vf x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bf16_bits(x));
}
SING_INLINE void store_bf16(uint16_t* p, vf x, Mask mask) {
  uint16_t some[kWidth];
  store_bf16(some, x);
  for (int i = 0; i < mask.count; ++i) p[i] = some[i];
}

#endif

/// By element type: f32, or the bits of bf16.
SING_INLINE vf load_any(const float* p, Mask mask) {
  return load(p, mask);
}
SING_INLINE vf load_any(const uint16_t* p, Mask mask) {
  return load_bf16(p, mask);
}
SING_INLINE float value_of(float x) {
  return x;
}
SING_INLINE float value_of(uint16_t x) {
  union {
    uint32_t u;
    float f;
  } bits = {static_cast<uint32_t>(x) << 16};
  return bits.f;
}

SING_INLINE vf copy_sign(vf magnitude, vf sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & INT32_MIN));
}

// Polynomials below are minimax fits (Lawson's iteration in f64) of the function named beside
// them; errors quoted are relative, over the range named.

/// e^x in place, relative error below 2e-7; 0 below -104, infinity above 88.73, NaN stays. Several
/// vectors at a time go through operation by operation: a processor looks ahead over some hundred
/// operations only, and alone each of these waits for the one before.
template <int kCount>
SING_INLINE void exp_together(vf (&x)[kCount]) {
  vf n[kCount], r[kCount], p[kCount];
#define SING_EACH _Pragma("GCC unroll 8") for (int i = 0; i < kCount; ++i)
  SING_EACH x[i] = min(set1(89.0f), max(set1(-104.0f), x[i]));
  SING_EACH n[i] = round_nearest(x[i] * 1.44269504f);
  SING_EACH r[i] = fnma(n[i], set1(0.693359375f), x[i]);  // ln 2 in two parts, the first exact in
  SING_EACH r[i] = fnma(n[i], set1(-2.12194440e-4f), r[i]);  // nine bits
  SING_EACH p[i] = fma(set1(1.3901306083e-03f), r[i], set1(8.3632003516e-03f));
  // (e^r - 1 - r) / r^2 for |r| <= ln2/2: 1.3e-7
  SING_EACH p[i] = fma(p[i], r[i], set1(4.1666854173e-02f));
  SING_EACH p[i] = fma(p[i], r[i], set1(1.6666576266e-01f));
  SING_EACH p[i] = fma(p[i], r[i], set1(0.5f));
  SING_EACH x[i] = scale_by_power(fma(p[i], r[i] * r[i], r[i]) + 1.0f, n[i]);
}
SING_INLINE vf exp(vf x) {
  vf one[1] = {x};
  exp_together(one);
  return one[0];
}

/// Natural logarithm, relative error below 2e-7; -infinity at 0, NaN below, infinity stays.
SING_INLINE vf log(vf x) {
  const auto subnormal = x < 1.17549435e-38f;
  const vf scaled = subnormal ? x * 8388608.0f : x;
  const vi bits = as_int(scaled);
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2))
  const vi e = (bits - 0x3f3504f3) >> 23;
  const vf m = as_float(bits - (e << 23));
  const vf exponent = to_float(e) - (subnormal ? set1(23.0f) : set1(0.0f));
  const vf f = m - 1.0f;
  vf p = set1(7.0385463536e-02f);  // (log(1 + f) - f + f^2/2) / f^3: 6.6e-8
  p = fma(p, f, set1(-1.1516063660e-01f));
  p = fma(p, f, set1(1.1677359045e-01f));
  p = fma(p, f, set1(-1.2419977039e-01f));
  p = fma(p, f, set1(1.4249272645e-01f));
  p = fma(p, f, set1(-1.6668061912e-01f));
  p = fma(p, f, set1(2.0000715554e-01f));
  p = fma(p, f, set1(-2.4999994040e-01f));
  p = fma(p, f, set1(3.3333331347e-01f));
  vf y = p * f * f * f;
  y = fma(exponent, set1(-2.12194440e-4f), y);
  y = fnma(set1(0.5f), f * f, y);
  y = fma(exponent, set1(0.693359375f), f + y);
  y = (x == 0.0f) ? set1(-__builtin_inff()) : y;
  y = (x < 0.0f) ? set1(__builtin_nanf("")) : y;
  return (x < __builtin_inff()) ? y : x;  // infinity and NaN
}

/// Relative error below 4e-7.
SING_INLINE vf tanh(vf x) {
  const vf a = abs(x), z = x * x;
  vf p = set1(-6.0969362967e-03f);  // (tanh(x)/x - 1) / x^2 for |x| < 0.625: 1.4e-7
  p = fma(p, z, set1(2.0997352898e-02f));
  p = fma(p, z, set1(-5.3850952536e-02f));
  p = fma(p, z, set1(1.3332770765e-01f));
  p = fma(p, z, set1(-3.3333328366e-01f));
  const vf inner = fma(p * z, x, x);
  const vf outer = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return copy_sign((a < 0.625f) ? inner : outer, x);
}

/// 1 / (1 + e^-x), relative error below 4e-7.
SING_INLINE vf sigmoid(vf x) {
  const vf e = exp(-abs(x));
  const vf d = 1.0f / (1.0f + e);
  return (x < 0.0f) ? e * d : d;
}

/// z becomes erfc(z) / e^(-z^2), for z >= 0; relative error below 2e-7.
template <int kCount>
SING_INLINE void scaled_erfc_together(vf (&z)[kCount]) {
  vf p[kCount];
  SING_EACH z[i] = 1.0f / fma(z[i], set1(0.4f), set1(1.0f));
  SING_EACH p[i] = fma(set1(-3.1008150429e-02f), z[i], set1(2.0573832095e-01f));
  // of t = 1 / (1 + 0.4 z), for z in [0, 9.3]: 6.3e-9
  SING_EACH p[i] = fma(p[i], z[i], set1(-5.1710146666e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(5.7201504707e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(-3.0498826504e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(2.8324458003e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(1.2577204406e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(2.1576702595e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(2.2484852374e-01f));
  SING_EACH p[i] = fma(p[i], z[i], set1(2.2571231425e-01f));
  SING_EACH z[i] = p[i] * z[i];
}
SING_INLINE vf scaled_erfc(vf z) {
  vf one[1] = {z};
  scaled_erfc_together(one);
  return one[0];
}

/// Relative error below 3e-7.
SING_INLINE vf erf(vf x) {
  const vf a = abs(x), z = x * x;
  vf p = set1(7.8538570961e-05f);  // erf(x) / x for |x| < 1: 1.3e-9
  p = fma(p, z, set1(-8.0101925414e-04f));
  p = fma(p, z, set1(5.1883277483e-03f));
  p = fma(p, z, set1(-2.6853810996e-02f));
  p = fma(p, z, set1(1.1283585429e-01f));
  p = fma(p, z, set1(-3.7612625957e-01f));
  p = fma(p, z, set1(1.1283791065e+00f));
  const vf outer = 1.0f - scaled_erfc(a) * exp(-z);
  return (a < 1.0f) ? p * x : copy_sign(outer, x);
}

/// The normal distribution function and e^(-x^2/2), which its derivative needs.
template <int kCount>
SING_INLINE void normal_together(const vf (&x)[kCount], vf (&cdf)[kCount], vf (&bell)[kCount]) {
  vf tail[kCount];
  SING_EACH bell[i] = x[i] * x[i] * -0.5f;
  exp_together(bell);
  SING_EACH tail[i] = abs(x[i]) * 0.707106781f;
  scaled_erfc_together(tail);
  SING_EACH tail[i] = tail[i] * bell[i] * 0.5f;
  SING_EACH cdf[i] = (x[i] < 0.0f) ? tail[i] : 1.0f - tail[i];
}

/// x becomes x Phi(x), the exact (erf) GELU, absolute error below 2e-7 max(1, |x|); slope becomes
/// d gelu / dx = Phi(x) + x phi(x).
template <int kCount>
SING_INLINE void gelu_together(vf (&x)[kCount], vf (&slope)[kCount]) {
  vf cdf[kCount], bell[kCount];
  normal_together(x, cdf, bell);
  SING_EACH slope[i] = fma(x[i] * bell[i], set1(0.398942280f), cdf[i]);
  SING_EACH x[i] = x[i] * cdf[i];
}
#undef SING_EACH
SING_INLINE vf gelu(vf x) {
  vf one[1] = {x}, slope[1];
  gelu_together(one, slope);
  return one[0];
}
SING_INLINE vf gelu_derivative(vf x) {
  vf one[1] = {x}, slope[1];
  gelu_together(one, slope);
  return slope[0];
}

/// GELU with tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 u).
SING_INLINE vf gelu_tanh(vf x) {
  const vf u = x * fma(x * x, set1(0.0356774081f), set1(0.797884561f));
  return x * sigmoid(u + u);
}
SING_INLINE vf gelu_tanh_derivative(vf x) {
  const vf z = x * x;
  const vf u = x * fma(z, set1(0.0356774081f), set1(0.797884561f));
  const vf e = exp(-abs(u + u)), d = 1.0f / (1.0f + e);
  const vf s = (u < 0.0f) ? e * d : d;  // sigmoid(2 u); e d^2 is s (1 - s) without cancellation
  const vf du = fma(z, set1(3.0f * 0.0356774081f), set1(0.797884561f));
  return fma(x * e * d * d * 2.0f, du, s);
}

}  // namespace
}  // namespace sing::kernels::SING_SIMD
