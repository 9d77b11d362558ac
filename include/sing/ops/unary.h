#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Element by element; x floating (DTypeError), result of the same shape, dtype and (channels-last
// or row-major) layout. bf16 and f16 are computed in f32.
namespace sing::ops {

SING_API Tensor neg(const Tensor& x);
/// Gradient 0 at 0.
SING_API Tensor abs(const Tensor& x);
SING_API Tensor exp(const Tensor& x);
SING_API Tensor log(const Tensor& x);
SING_API Tensor sqrt(const Tensor& x);
/// 1 / sqrt(x)
SING_API Tensor rsqrt(const Tensor& x);
SING_API Tensor square(const Tensor& x);
SING_API Tensor reciprocal(const Tensor& x);
SING_API Tensor sin(const Tensor& x);
SING_API Tensor cos(const Tensor& x);
SING_API Tensor erf(const Tensor& x);
SING_API Tensor sigmoid(const Tensor& x);
SING_API Tensor tanh(const Tensor& x);
/// max(x, 0); gradient 0 at 0.
SING_API Tensor relu(const Tensor& x);
/// x * sigmoid(x)
SING_API Tensor silu(const Tensor& x);
/// log(1 + exp(beta x)) / beta, and x itself where beta x > threshold. beta > 0 (ShapeError).
SING_API Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
/// x Phi(x) with the exact normal distribution function.
SING_API Tensor gelu(const Tensor& x);
/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
/// Source of both: Hendrycks & Gimpel 2016, section 2.
SING_API Tensor gelu_tanh(const Tensor& x);
/// x where x > 0, else slope * x (also the gradient at 0).
SING_API Tensor leaky_relu(const Tensor& x, double slope = 0.01);
/// min(max(x, low), high); the gradient passes where low <= x <= high.
SING_API Tensor clamp(const Tensor& x, double low, double high);

}  // namespace sing::ops
