#pragma once
// What follows a matrix product (kernels::Epilogue), in f32.
#include <cmath>

#include "kernels/cuda/element.h"
#include "kernels/cuda/functions.h"
#include "kernels/gemm.h"

namespace sing::cuda {

/// x Phi(x), and its tanh form (Hendrycks & Gimpel 2016); ReLU keeps a NaN.
SING_DEVICE float activated(kernels::Epilogue epilogue, float x) {
  switch (epilogue) {
    case kernels::Epilogue::relu:
      return x < 0 ? 0.0f : x;
    case kernels::Epilogue::gelu:
      // erfc keeps the digits that 1 + erf loses where x is far below 0.
      return 0.5f * x * std::erfc(-x * 0.70710678118654752440f);
    case kernels::Epilogue::gelu_tanh:
      return 0.5f * x * (1 + std::tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x)));
    case kernels::Epilogue::none:
      break;
  }
  return x;
}

/// The derivative of `activated` at x, the value before the activation (what GemmArgs::slope keeps
/// on CUDA; for ReLU its result does as well).
SING_DEVICE float activation_slope(kernels::Epilogue epilogue, float x) {
  switch (epilogue) {
    case kernels::Epilogue::relu:
      return x > 0 ? 1.0f : 0.0f;
    case kernels::Epilogue::gelu:
      return 0.5f * std::erfc(-x * 0.70710678118654752440f) +
             x * 0.39894228040143267794f * std::exp(-0.5f * x * x);
    case kernels::Epilogue::gelu_tanh: {
      const float t = std::tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x));
      return 0.5f * (1 + t) +
             0.5f * x * (1 - t * t) * 0.79788456080286535588f * (1 + 3 * 0.044715f * x * x);
    }
    case kernels::Epilogue::none:
      break;
  }
  return 1;
}

/// 1 - Phi(|x|) from the density phi(x), in few instructions for bf16 results: Abramowitz & Stegun
/// 26.2.17, |error| < 7.5e-8.
template <class T>
SING_DEVICE float normal_tail(float x, float density) {
  const float t = divide<T>(1, 1 + 0.2316419f * std::abs(x));
  return density * t *
         (0.319381530f +
          t * (-0.356563782f + t * (1.781477937f + t * (-1.821255978f + t * 1.330274429f))));
}
template <class T>
SING_DEVICE float normal_density(float x) {
  return 0.39894228040143267794f * exp_of<T>(-0.5f * x * x);
}

/// `activated` as an element of type T. For bf16 in few instructions, since those of the f32
/// functions take longer than the bytes of an element.
template <class T, kernels::Epilogue kEpilogue>
SING_DEVICE T activated_as(float x) {
  using kernels::Epilogue;
  if constexpr (kApproximate<T> && kEpilogue == Epilogue::gelu) {
    const float tail = normal_tail<T>(x, normal_density<T>(x));
    return from_value<T>(x * (x >= 0 ? 1 - tail : tail));
  } else if constexpr (kApproximate<T> && kEpilogue == Epilogue::gelu_tanh) {
    return from_value<T>(x * sigmoid<T>(1.59576912160573071176f * x * (1 + 0.044715f * x * x)));
  } else {
    return from_value<T>(activated(kEpilogue, x));
  }
}

}  // namespace sing::cuda
