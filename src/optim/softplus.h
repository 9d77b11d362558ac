#pragma once
#include <algorithm>
#include <cmath>

#include "optim/target.h"

namespace sing::optim {

/// log(1 + exp(beta x)) / beta for x >= 0; x itself where the difference is below half a unit of
/// the last place (f32: beta x > 15; f64: beta x > 20, as published, 5e-11). Relative error: f64 a
/// few units of the last place; f32 at most 6e-7, less than what 10 steps of rounding do to the
/// moments it is applied to.
template <class T>
class Softplus {
 public:
  explicit Softplus(double beta)
      : beta_(static_cast<T>(beta)), inverse_(static_cast<T>(1 / beta)) {}
  SING_ALWAYS_INLINE T operator()(T x) const;
  /// numerator / softplus(x), with one division in all.
  SING_ALWAYS_INLINE T divide(T numerator, T x) const;

 private:
  T beta_, inverse_;
};

template <>
SING_ALWAYS_INLINE double Softplus<double>::operator()(double x) const {
  const double z = x * beta_;
  return z > 20 ? x : x + std::log1p(std::exp(-z)) * inverse_;
}
template <>
SING_ALWAYS_INLINE double Softplus<double>::divide(double numerator, double x) const {
  return numerator / (*this)(x);
}

namespace detail {

/// log(1 + exp(z)) = over / under on [0, 15]: a rational minimax fit of the relative error, 2.6e-7
/// before rounding. Straight-line code of few operations: the loops it stands in are bound by them.
struct SoftplusFraction {
  float over, under;
};
SING_ALWAYS_INLINE SoftplusFraction softplus_fraction(float z) {
  float p = std::fma(1.5989297e-03f, z, 2.0988729e-02f);
  float q = std::fma(1.6020439e-03f, z, 2.0812584e-02f);
  p = std::fma(p, z, 1.1188585e-01f);
  q = std::fma(q, z, 1.1591400e-01f);
  p = std::fma(p, z, 3.6383858e-01f);
  q = std::fma(q, z, 3.1693453e-01f);
  p = std::fma(p, z, 7.1968217e-01f);
  q = std::fma(q, z, 1.0f);
  return {std::fma(p, z, 6.9314700e-01f), q};
}
constexpr float kSoftplusEnd = 15;

}  // namespace detail

// NaN fails the comparisons below and so comes back as it is.
template <>
SING_ALWAYS_INLINE float Softplus<float>::operator()(float x) const {
  const float z = x * beta_;
  const auto [over, under] = detail::softplus_fraction(std::min(float{detail::kSoftplusEnd}, z));
  return z < detail::kSoftplusEnd ? over / under * inverse_ : x;
}
template <>
SING_ALWAYS_INLINE float Softplus<float>::divide(float numerator, float x) const {
  const float z = x * beta_;
  const auto [over, under] = detail::softplus_fraction(std::min(float{detail::kSoftplusEnd}, z));
  const bool soft = z < detail::kSoftplusEnd;
  return numerator * beta_ * (soft ? under : 1.0f) / (soft ? over : z);
}

}  // namespace sing::optim
