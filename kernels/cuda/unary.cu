// Element-wise functions of one operand, in f32 (f64 for f64), on 16 bytes per thread.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/elementwise.h"

namespace sing::cuda {
namespace {

using kernels::UnaryOp;

template <class V>
SING_DEVICE V sigmoid(V x) {
  // Neither branch overflows.
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const V e = std::exp(x);
  return e / (1 + e);
}

// The tanh form of Hendrycks & Gimpel 2016: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
template <class V>
SING_DEVICE V gelu_tanh_inner(V x) {
  return std::tanh(V(0.79788456080286535588) * (x + V(0.044715) * x * x * x));
}

template <class V>
SING_DEVICE V apply(UnaryOp op, V x, V a, V b) {
  switch (op) {
    case UnaryOp::affine:
      return a * x + b;
    case UnaryOp::abs:
      return std::abs(x);
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::rsqrt:
      return 1 / std::sqrt(x);
    case UnaryOp::square:
      return x * x;
    case UnaryOp::reciprocal:
      return 1 / x;
    case UnaryOp::sin:
      return std::sin(x);
    case UnaryOp::cos:
      return std::cos(x);
    case UnaryOp::erf:
      return std::erf(x);
    case UnaryOp::sigmoid:
      return sigmoid(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::relu:
      return x > 0 || x != x ? x : V(0);
    case UnaryOp::silu:
      return x * sigmoid(x);
    case UnaryOp::softplus:
      return x * a > b ? x : std::log1p(std::exp(x * a)) / a;
    case UnaryOp::gelu:
      return x * (V(0.5) * (1 + std::erf(x * V(0.70710678118654752440))));
    case UnaryOp::gelu_tanh:
      return V(0.5) * x * (1 + gelu_tanh_inner(x));
    case UnaryOp::leaky_relu:
      return x > 0 ? x : x * a;
    case UnaryOp::clamp:
      return x < a ? a : x > b ? b : x;
    case UnaryOp::pow:
      return std::pow(x, a);
  }
  return x;
}

/// `s` is the output or the input, as kernels::derivative_from_output says.
template <class V>
SING_DEVICE V derive(UnaryOp op, V g, V s, V a, V b) {
  switch (op) {
    case UnaryOp::affine:
      return g * a;
    case UnaryOp::abs:
      return s > 0 ? g : s < 0 ? -g : V(0);
    case UnaryOp::exp:
      return g * s;
    case UnaryOp::log:
      return g / s;
    case UnaryOp::sqrt:
      return g / (2 * s);
    case UnaryOp::rsqrt:
      return g * (s * s * s) / -2;
    case UnaryOp::square:
      return g * (2 * s);
    case UnaryOp::reciprocal:
      return -g * s * s;
    case UnaryOp::sin:
      return g * std::cos(s);
    case UnaryOp::cos:
      return -g * std::sin(s);
    case UnaryOp::erf:
      return g * (V(1.12837916709551257390) * std::exp(-s * s));
    case UnaryOp::sigmoid:
      return g * s * (1 - s);
    case UnaryOp::tanh:
      return g * (1 - s * s);
    case UnaryOp::relu:
      return s > 0 ? g : V(0);
    case UnaryOp::silu: {
      const V y = sigmoid(s);
      return g * y * (1 + s * (1 - y));
    }
    case UnaryOp::softplus:
      return s * a > b ? g : g * sigmoid(s * a);
    case UnaryOp::gelu: {
      const V cdf = V(0.5) * (1 + std::erf(s * V(0.70710678118654752440)));
      return g * (cdf + s * (V(0.39894228040143267794) * std::exp(V(-0.5) * s * s)));
    }
    case UnaryOp::gelu_tanh: {
      const V t = gelu_tanh_inner(s);
      const V inner = V(0.79788456080286535588) * (1 + 3 * V(0.044715) * s * s);
      return g * (V(0.5) * (1 + t) + V(0.5) * s * (1 - t * t) * inner);
    }
    case UnaryOp::leaky_relu:
      return s > 0 ? g : g * a;
    case UnaryOp::clamp:
      return s >= a && s <= b ? g : V(0);
    case UnaryOp::pow:
      // d x^0 = 0 even at x = 0, where 0 * 0^-1 would be NaN.
      return a == 0 ? V(0) : g * (a * std::pow(s, a - 1));
  }
  return g;
}

// The op is an argument and the same for all threads, so the switch costs nothing beside the
// memory; a kernel per op would be 42 of them.
template <class T, int N>
__global__ void unary_kernel(T* y, const T* x, int64_t n, UnaryOp op, compute_t<T> a,
                             compute_t<T> b) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) pack.at[k] = from_value<T>(apply(op, to_value(pack.at[k]), a, b));
    *reinterpret_cast<Pack<T, N>*>(y + i) = pack;
    return;
  }
  for (int64_t k = i; k < n; ++k) y[k] = from_value<T>(apply(op, to_value(x[k]), a, b));
}

template <class T, int N>
__global__ void unary_backward_kernel(T* dx, const T* grad, const T* saved, int64_t n, UnaryOp op,
                                      compute_t<T> a, compute_t<T> b) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    Pack<T, N> g = *reinterpret_cast<const Pack<T, N>*>(grad + i);
    const Pack<T, N> s = *reinterpret_cast<const Pack<T, N>*>(saved + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      g.at[k] = from_value<T>(derive(op, to_value(g.at[k]), to_value(s.at[k]), a, b));
    *reinterpret_cast<Pack<T, N>*>(dx + i) = g;
    return;
  }
  for (int64_t k = i; k < n; ++k)
    dx[k] = from_value<T>(derive(op, to_value(grad[k]), to_value(saved[k]), a, b));
}

void unary_forward(const kernels::UnaryArgs& args) {
  if (args.n == 0) return;
  dispatch_floating<true>("unary", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    using V = compute_t<T>;
    const auto run = [&]<int N>() {
      launch(unary_kernel<T, N>, grid_for((args.n + N - 1) / N), args.stream,
             static_cast<T*>(args.y), static_cast<const T*>(args.x), args.n, args.op,
             static_cast<V>(args.a), static_cast<V>(args.b));
    };
    if (aligned_for_packs(16, args.x, args.y))
      run.template operator()<kPack<T>>();
    else
      run.template operator()<1>();
  });
}

void unary_backward(const kernels::UnaryBackwardArgs& args) {
  if (args.n == 0) return;
  dispatch_floating<true>("unary", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    using V = compute_t<T>;
    // affine saves nothing; any readable numbers do.
    const void* saved = args.op == UnaryOp::affine ? args.grad : args.saved;
    const auto run = [&]<int N>() {
      launch(unary_backward_kernel<T, N>, grid_for((args.n + N - 1) / N), args.stream,
             static_cast<T*>(args.dx), static_cast<const T*>(args.grad),
             static_cast<const T*>(saved), args.n, args.op, static_cast<V>(args.a),
             static_cast<V>(args.b));
    };
    if (aligned_for_packs(16, args.dx, args.grad, saved))
      run.template operator()<kPack<T>>();
    else
      run.template operator()<1>();
  });
}

SING_CUDA_KERNEL(kernels::unary_fwd, unary_forward)
SING_CUDA_KERNEL(kernels::unary_bwd, unary_backward)

}  // namespace
}  // namespace sing::cuda
