#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "optim/target.h"

namespace sing::optim {

/// log(1 + exp(beta x)) / beta for x >= 0; x itself where beta x > 20 (the difference is below
/// 5e-11). Relative error: f64 a few units of the last place; f32 at most 2.5e-7.
template <class T>
class Softplus {
 public:
  explicit Softplus(double beta)
      : beta_(static_cast<T>(beta)), inverse_(static_cast<T>(1 / beta)) {}
  SING_ALWAYS_INLINE T operator()(T x) const;

 private:
  T beta_, inverse_;
};

template <>
SING_ALWAYS_INLINE double Softplus<double>::operator()(double x) const {
  const double z = x * beta_;
  return z > 20 ? x : x + std::log1p(std::exp(-z)) * inverse_;
}

/// Straight-line code, so that loops over it become vector code: exp(-z) as 2^k 2^r with a
/// polynomial in r, then log1p(u) = u - u^2 q(u) on [0, 1]. Both polynomials are Chebyshev fits,
/// summed in Estrin's order: Horner's would wait for each multiplication.
template <>
SING_ALWAYS_INLINE float Softplus<float>::operator()(float x) const {
  const float bx = x * beta_;
  const float z = std::min(20.0f, bx);   // 20 for NaN, which comes back by way of x below
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kMinusLog2E = -1.44269504f;
  const float k = std::fma(z, kMinusLog2E, kRound) - kRound;
  const float r = std::fma(z, kMinusLog2E, -k);
  const float r2 = r * r;
  const float e01 = std::fma(6.931471825e-01f, r, 1.0f);
  const float e23 = std::fma(5.550327152e-02f, r, 2.402265072e-01f);
  const float e45 = std::fma(1.340043265e-03f, r, 9.618025273e-03f);
  const float e = std::fma(std::fma(std::fma(1.546973217e-04f, r2, e45), r2, e23), r2, e01);
  const float u = e * std::bit_cast<float>((static_cast<int32_t>(k) + 127) << 23);
  const float u2 = u * u, u4 = u2 * u2;
  const float q01 = std::fma(-3.333289325e-01f, u, 4.999999702e-01f);
  const float q23 = std::fma(-1.986210942e-01f, u, 2.498755157e-01f);
  const float q45 = std::fma(-1.162652820e-01f, u, 1.587838531e-01f);
  const float q67 = std::fma(-2.568278648e-02f, u, 6.751181185e-02f);
  const float high = std::fma(4.579766188e-03f, u4, std::fma(q67, u2, q45));
  const float q = std::fma(high, u4, std::fma(q23, u2, q01));
  const float log1p_u = std::fma(-u2, q, u);
  return bx > 20.0f ? x : std::fma(log1p_u, inverse_, x);
}

}  // namespace sing::optim
