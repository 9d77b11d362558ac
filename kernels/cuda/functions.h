#pragma once
// Elementary functions of kernels. T is the element type of the result: where it is bf16 the
// device's approximations are far below half a unit in the last place; f32 gets CUDA's accurate
// functions.
#include "kernels/cuda/element.h"

namespace sing::cuda {

template <class T>
inline constexpr bool kApproximate = std::is_same_v<T, bfloat16>;

template <class T>
SING_DEVICE float exp_of(float x) {
  if constexpr (kApproximate<T>)
    return __expf(x);
  else
    return std::exp(x);
}

template <class T>
SING_DEVICE float divide(float a, float b) {
  if constexpr (kApproximate<T>)
    return __fdividef(a, b);
  else
    return a / b;
}

template <class T>
SING_DEVICE float tanh_of(float x) {
  if constexpr (kApproximate<T>) {
    // One instruction, relative error below 2^-10.9 (PTX ISA, tanh).
#if defined(__CUDA_ARCH__)
    float result;
    asm("tanh.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#elif defined(SING_CUDA_EMULATED)
    return emulator::off(std::tanh(x), 1 << 13);
#endif
  }
  return std::tanh(x);
}

/// 1 / (1 + exp(-x)) without overflow, and without a branch that would part a warp.
template <class T>
SING_DEVICE float sigmoid(float x) {
  const float e = exp_of<T>(-std::abs(x));
  return divide<T>(x >= 0 ? 1.0f : e, 1 + e);
}

}  // namespace sing::cuda
