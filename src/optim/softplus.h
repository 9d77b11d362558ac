#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "optim/target.h"

namespace sing::optim {

/// log(1 + exp(beta x)) / beta for x >= 0; x itself where beta x > 20 (the difference is below
/// 5e-11). Relative error: f64 a few units of the last place; f32 at most 2.5e-7.
SING_ALWAYS_INLINE double softplus(double x, double beta) {
  const double z = x * beta;
  return z > 20 ? x : x + std::log1p(std::exp(-z)) / beta;
}

/// Straight-line code, so that loops over it become vector code: exp(-z) as 2^k 2^r with a
/// polynomial in r, then log1p(u) = u - u^2 q(u) on [0, 1]; both polynomials are Chebyshev fits.
SING_ALWAYS_INLINE float softplus(float x, float beta) {
  const float bx = x * beta;
  const float z = std::min(bx, 20.0f);
  const float t = z * -1.44269504f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float k = (t + kRound) - kRound;
  const float r = t - k;
  float p = 1.546973217e-04f;
  p = p * r + 1.340043265e-03f;
  p = p * r + 9.618025273e-03f;
  p = p * r + 5.550327152e-02f;
  p = p * r + 2.402265072e-01f;
  p = p * r + 6.931471825e-01f;
  p = p * r + 1.0f;
  const float u = p * std::bit_cast<float>((static_cast<int32_t>(k) + 127) << 23);
  float q = 4.579766188e-03f;
  q = q * u - 2.568278648e-02f;
  q = q * u + 6.751181185e-02f;
  q = q * u - 1.162652820e-01f;
  q = q * u + 1.587838531e-01f;
  q = q * u - 1.986210942e-01f;
  q = q * u + 2.498755157e-01f;
  q = q * u - 3.333289325e-01f;
  q = q * u + 4.999999702e-01f;
  const float log1p_u = u - (u * u) * q;
  return bx > 20.0f ? x : x + log1p_u / beta;
}

}  // namespace sing::optim
