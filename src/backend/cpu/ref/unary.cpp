#include <cmath>
#include <numbers>

#include "backend/cpu/ref/dispatch.h"
#include "kernels/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(unary_fwd, UnaryArgs)
SING_DEFINE_SLOT(unary_bwd, UnaryBackwardArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

constexpr int64_t kGrain = 1 << 13;
constexpr double kInvSqrt2 = 0.70710678118654752440;
constexpr double kInvSqrt2Pi = 0.39894228040143267794;
// The tanh form of Hendrycks & Gimpel 2016: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kCubic = 0.044715;

template <class V>
V sigmoid(V x) {
  // Neither branch overflows.
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const V e = std::exp(x);
  return e / (1 + e);
}

/// f gets a function value(x, a, b) of floating values.
template <class F>
void with_function(UnaryOp op, F f) {
  switch (op) {
    case UnaryOp::affine:
      return f([](auto x, auto a, auto b) { return a * x + b; });
    case UnaryOp::abs:
      return f([](auto x, auto, auto) { return std::abs(x); });
    case UnaryOp::exp:
      return f([](auto x, auto, auto) { return std::exp(x); });
    case UnaryOp::log:
      return f([](auto x, auto, auto) { return std::log(x); });
    case UnaryOp::sqrt:
      return f([](auto x, auto, auto) { return std::sqrt(x); });
    case UnaryOp::rsqrt:
      return f([](auto x, auto, auto) { return 1 / std::sqrt(x); });
    case UnaryOp::square:
      return f([](auto x, auto, auto) { return x * x; });
    case UnaryOp::reciprocal:
      return f([](auto x, auto, auto) { return 1 / x; });
    case UnaryOp::sin:
      return f([](auto x, auto, auto) { return std::sin(x); });
    case UnaryOp::cos:
      return f([](auto x, auto, auto) { return std::cos(x); });
    case UnaryOp::erf:
      return f([](auto x, auto, auto) { return std::erf(x); });
    case UnaryOp::sigmoid:
      return f([](auto x, auto, auto) { return sigmoid(x); });
    case UnaryOp::tanh:
      return f([](auto x, auto, auto) { return std::tanh(x); });
    case UnaryOp::relu:
      return f([](auto x, auto, auto) { return x > 0 || std::isnan(x) ? x : decltype(x){}; });
    case UnaryOp::silu:
      return f([](auto x, auto, auto) { return x * sigmoid(x); });
    case UnaryOp::softplus:
      return f([](auto x, auto beta, auto threshold) {
        return x * beta > threshold ? x : std::log1p(std::exp(x * beta)) / beta;
      });
    case UnaryOp::gelu:
      return f([](auto x, auto, auto) {
        using V = decltype(x);
        return x * (V(0.5) * (1 + std::erf(x * V(kInvSqrt2))));
      });
    case UnaryOp::gelu_tanh:
      return f([](auto x, auto, auto) {
        using V = decltype(x);
        return V(0.5) * x * (1 + std::tanh(V(kSqrt2OverPi) * (x + V(kCubic) * x * x * x)));
      });
    case UnaryOp::leaky_relu:
      return f([](auto x, auto slope, auto) { return x > 0 ? x : x * slope; });
    case UnaryOp::clamp:
      return f([](auto x, auto low, auto high) { return x < low ? low : x > high ? high : x; });
    case UnaryOp::pow:
      return f([](auto x, auto exponent, auto) { return std::pow(x, exponent); });
  }
}

/// f gets a function of (grad, saved, a, b).
template <class F>
void with_derivative(UnaryOp op, F f) {
  switch (op) {
    case UnaryOp::affine:
      return f([](auto g, auto, auto a, auto) { return g * a; });
    case UnaryOp::abs:
      return f([](auto g, auto x, auto, auto) { return x > 0 ? g : x < 0 ? -g : decltype(g){}; });
    case UnaryOp::exp:
      return f([](auto g, auto y, auto, auto) { return g * y; });
    case UnaryOp::log:
      return f([](auto g, auto x, auto, auto) { return g / x; });
    case UnaryOp::sqrt:
      return f([](auto g, auto y, auto, auto) { return g / (2 * y); });
    case UnaryOp::rsqrt:
      return f([](auto g, auto y, auto, auto) { return g * (y * y * y) / -2; });
    case UnaryOp::square:
      return f([](auto g, auto x, auto, auto) { return g * (2 * x); });
    case UnaryOp::reciprocal:
      return f([](auto g, auto y, auto, auto) { return -g * y * y; });
    case UnaryOp::sin:
      return f([](auto g, auto x, auto, auto) { return g * std::cos(x); });
    case UnaryOp::cos:
      return f([](auto g, auto x, auto, auto) { return -g * std::sin(x); });
    case UnaryOp::erf:
      return f([](auto g, auto x, auto, auto) {
        using V = decltype(x);
        return g * (V(2 * std::numbers::inv_sqrtpi) * std::exp(-x * x));
      });
    case UnaryOp::sigmoid:
      return f([](auto g, auto y, auto, auto) { return g * y * (1 - y); });
    case UnaryOp::tanh:
      return f([](auto g, auto y, auto, auto) { return g * (1 - y * y); });
    case UnaryOp::relu:
      return f([](auto g, auto y, auto, auto) { return y > 0 ? g : decltype(g){}; });
    case UnaryOp::silu:
      return f([](auto g, auto x, auto, auto) {
        const auto s = sigmoid(x);
        return g * s * (1 + x * (1 - s));
      });
    case UnaryOp::softplus:
      return f([](auto g, auto x, auto beta, auto threshold) {
        return x * beta > threshold ? g : g * sigmoid(x * beta);
      });
    case UnaryOp::gelu:
      return f([](auto g, auto x, auto, auto) {
        using V = decltype(x);
        const V cdf = V(0.5) * (1 + std::erf(x * V(kInvSqrt2)));
        return g * (cdf + x * (V(kInvSqrt2Pi) * std::exp(V(-0.5) * x * x)));
      });
    case UnaryOp::gelu_tanh:
      return f([](auto g, auto x, auto, auto) {
        using V = decltype(x);
        const V t = std::tanh(V(kSqrt2OverPi) * (x + V(kCubic) * x * x * x));
        const V inner = V(kSqrt2OverPi) * (1 + 3 * V(kCubic) * x * x);
        return g * (V(0.5) * (1 + t) + V(0.5) * x * (1 - t * t) * inner);
      });
    case UnaryOp::leaky_relu:
      return f([](auto g, auto x, auto slope, auto) { return x > 0 ? g : g * slope; });
    case UnaryOp::clamp:
      return f([](auto g, auto x, auto low, auto high) {
        return x >= low && x <= high ? g : decltype(g){};
      });
    case UnaryOp::pow:
      return f([](auto g, auto x, auto exponent, auto) {
        // d x^0 = 0 even at x = 0, where 0 * 0^-1 would be NaN.
        return exponent == 0 ? decltype(g){} : g * (exponent * std::pow(x, exponent - 1));
      });
  }
}

void unary_forward_reference(const UnaryArgs& args) {
  cpu::dispatch_floating(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    using V = cpu::compute_t<T>;
    T* y = static_cast<T*>(args.y);
    const T* x = static_cast<const T*>(args.x);
    const V a = static_cast<V>(args.a), b = static_cast<V>(args.b);
    with_function(args.op, [&](auto function) {
      parallel_ranges(args.n, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          y[i] = from_value<T>(static_cast<V>(function(static_cast<V>(to_value(x[i])), a, b)));
      });
    });
  });
}

void unary_backward_reference(const UnaryBackwardArgs& args) {
  cpu::dispatch_floating(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    using V = cpu::compute_t<T>;
    T* dx = static_cast<T*>(args.dx);
    const T* g = static_cast<const T*>(args.grad);
    // affine saves nothing; any readable numbers do.
    const T* saved = args.op == UnaryOp::affine ? g : static_cast<const T*>(args.saved);
    const V a = static_cast<V>(args.a), b = static_cast<V>(args.b);
    with_derivative(args.op, [&](auto derivative) {
      parallel_ranges(args.n, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          dx[i] = from_value<T>(static_cast<V>(derivative(
              static_cast<V>(to_value(g[i])), static_cast<V>(to_value(saved[i])), a, b)));
      });
    });
  });
}

SING_REFERENCE_KERNEL(unary_fwd, unary_forward_reference)
SING_REFERENCE_KERNEL(unary_bwd, unary_backward_reference)

}  // namespace
}  // namespace sing::kernels
