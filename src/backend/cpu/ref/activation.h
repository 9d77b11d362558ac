#pragma once
#include <cmath>

#include "kernels/gemm.h"

namespace sing::kernels::cpu {

// The activations of Epilogue in f64. GELU: Hendrycks & Gimpel 2016, x Phi(x), and its tanh form.

inline constexpr double kSqrtHalf = 0.70710678118654752440;
inline constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
inline constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
inline constexpr double kGeluCubic = 0.044715;

inline double activation(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::relu:
      return x < 0 ? 0 : x;
    case Epilogue::gelu:
      return 0.5 * x * std::erfc(-x * kSqrtHalf);
    case Epilogue::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x)));
    case Epilogue::none:
      break;
  }
  return x;
}

inline double activation_derivative(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::relu:
      return x > 0 ? 1 : 0;
    case Epilogue::gelu:
      return 0.5 * std::erfc(-x * kSqrtHalf) + x * kInverseSqrtTwoPi * std::exp(-0.5 * x * x);
    case Epilogue::gelu_tanh: {
      const double t = std::tanh(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSqrtTwoOverPi * (1 + 3 * kGeluCubic * x * x);
    }
    case Epilogue::none:
      break;
  }
  return 1;
}

}  // namespace sing::kernels::cpu
