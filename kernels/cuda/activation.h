#pragma once
// What follows a matrix product (kernels::Epilogue), in f32.
#include <cmath>

#include "kernels/cuda/element.h"
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

}  // namespace sing::cuda
