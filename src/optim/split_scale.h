#pragma once
#include <cmath>

namespace sing::optim {

/// scale = a * b with both factors in the normal range of T; b is 1 unless scale is extreme.
template <class T>
inline void split_scale(double scale, T& a, T& b) {
  a = static_cast<T>(scale);
  b = 1;
  if constexpr (sizeof(T) < sizeof(double)) {
    if (scale == 0 || !std::isfinite(scale)) return;
    const int exponent = std::ilogb(scale);
    if (exponent > -100 && exponent < 100) return;
    const int half = exponent / 2;
    a = static_cast<T>(std::ldexp(scale, -half));
    b = static_cast<T>(std::ldexp(1.0, half));
  }
}

}  // namespace sing::optim
