// Element-wise functions of one operand, in f32, on 16 bytes per thread. A kernel per function:
// with the choice inside the loop the compiler makes one kernel of hundreds of pieces.
#include "kernels/cuda/functions.h"
#include "kernels/cuda/launch.h"
#include "kernels/elementwise.h"

namespace sing::cuda {
namespace {

using kernels::UnaryOp;

constexpr float kSqrtHalf = 0.70710678118654752440f;
constexpr float kInverseSqrtTwoPi = 0.39894228040143267794f;
// The tanh form of Hendrycks & Gimpel 2016: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
constexpr float kSqrtTwoOverPi = 0.79788456080286535588f;
constexpr float kGeluCubic = 0.044715f;

template <class T>
SING_DEVICE float gelu_tanh_inner(float x) {
  return tanh_of<T>(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x));
}

template <class T, UnaryOp kOp>
SING_DEVICE float apply(float x, float a, float b) {
  switch (kOp) {
    case UnaryOp::affine:
      return a * x + b;
    case UnaryOp::abs:
      return std::abs(x);
    case UnaryOp::exp:
      return exp_of<T>(x);
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
      return sigmoid<T>(x);
    case UnaryOp::tanh:
      return tanh_of<T>(x);
    case UnaryOp::relu:
      return x > 0 || x != x ? x : 0.0f;
    case UnaryOp::silu:
      return x * sigmoid<T>(x);
    case UnaryOp::softplus:
      return x * a > b ? x : std::log1p(std::exp(x * a)) / a;
    case UnaryOp::gelu:
      return x * (0.5f * (1 + std::erf(x * kSqrtHalf)));
    case UnaryOp::gelu_tanh:
      return 0.5f * x * (1 + gelu_tanh_inner<T>(x));
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
template <class T, UnaryOp kOp>
SING_DEVICE float derive(float g, float s, float a, float b) {
  switch (kOp) {
    case UnaryOp::affine:
      return g * a;
    case UnaryOp::abs:
      return s > 0 ? g : s < 0 ? -g : 0.0f;
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
      return g * (1.12837916709551257390f * exp_of<T>(-s * s));
    case UnaryOp::sigmoid:
      return g * s * (1 - s);
    case UnaryOp::tanh:
      return g * (1 - s * s);
    case UnaryOp::relu:
      return s > 0 ? g : 0.0f;
    case UnaryOp::silu: {
      const float y = sigmoid<T>(s);
      return g * y * (1 + s * (1 - y));
    }
    case UnaryOp::softplus:
      return s * a > b ? g : g * sigmoid<T>(s * a);
    case UnaryOp::gelu: {
      const float cdf = 0.5f * (1 + std::erf(s * kSqrtHalf));
      return g * (cdf + s * (kInverseSqrtTwoPi * exp_of<T>(-0.5f * s * s)));
    }
    case UnaryOp::gelu_tanh: {
      const float t = gelu_tanh_inner<T>(s);
      const float inner = kSqrtTwoOverPi * (1 + 3 * kGeluCubic * s * s);
      return g * (0.5f * (1 + t) + 0.5f * s * (1 - t * t) * inner);
    }
    case UnaryOp::leaky_relu:
      return s > 0 ? g : g * a;
    case UnaryOp::clamp:
      return s >= a && s <= b ? g : 0.0f;
    case UnaryOp::pow:
      // d x^0 = 0 even at x = 0, where 0 * 0^-1 would be NaN.
      return a == 0 ? 0.0f : g * (a * std::pow(s, a - 1));
  }
  return g;
}

/// Functions of a hundred instructions are not repeated for each element of a pack: they compute
/// for longer than memory takes.
constexpr bool is_long(UnaryOp op) {
  return op == UnaryOp::sin || op == UnaryOp::cos || op == UnaryOp::pow || op == UnaryOp::softplus;
}
template <class T, UnaryOp kOp>
inline constexpr int kElements = is_long(kOp) ? 1 : kPack<T>;

/// `packed`: the addresses allow packs; else a thread walks over its elements.
template <class T, UnaryOp kOp>
__global__ void __launch_bounds__(kBlockThreads)
    unary_kernel(T* y, const T* x, int64_t n, bool packed, float a, float b) {
  constexpr int N = kElements<T, kOp>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (packed && i + N <= n) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      pack.at[k] = from_value<T>(apply<T, kOp>(to_value(pack.at[k]), a, b));
    *reinterpret_cast<Pack<T, N>*>(y + i) = pack;
    return;
  }
#pragma unroll 1
  for (int64_t k = i; k < n && k < i + N; ++k)
    y[k] = from_value<T>(apply<T, kOp>(to_value(x[k]), a, b));
}

template <class T, UnaryOp kOp>
__global__ void __launch_bounds__(kBlockThreads)
    unary_backward_kernel(T* dx, const T* grad, const T* saved, int64_t n, bool packed, float a,
                          float b) {
  constexpr int N = kElements<T, kOp>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (packed && i + N <= n) {
    Pack<T, N> g = *reinterpret_cast<const Pack<T, N>*>(grad + i);
    Pack<T, N> s = g;
    if constexpr (kOp != UnaryOp::affine) s = *reinterpret_cast<const Pack<T, N>*>(saved + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      g.at[k] = from_value<T>(derive<T, kOp>(to_value(g.at[k]), to_value(s.at[k]), a, b));
    *reinterpret_cast<Pack<T, N>*>(dx + i) = g;
    return;
  }
#pragma unroll 1
  for (int64_t k = i; k < n && k < i + N; ++k) {
    const T s = kOp == UnaryOp::affine ? grad[k] : saved[k];
    dx[k] = from_value<T>(derive<T, kOp>(to_value(grad[k]), to_value(s), a, b));
  }
}

template <UnaryOp kOp>
void run_forward(const kernels::UnaryArgs& args) {
  dispatch_floating("unary", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = kElements<T, kOp>;
    launch(unary_kernel<T, kOp>, grid_for((args.n + N - 1) / N, kBlockThreads, INT32_MAX),
           args.stream, static_cast<T*>(args.y), static_cast<const T*>(args.x), args.n,
           aligned_for_packs(16, args.x, args.y), static_cast<float>(args.a),
           static_cast<float>(args.b));
  });
}

template <UnaryOp kOp>
void run_backward(const kernels::UnaryBackwardArgs& args) {
  dispatch_floating("unary", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = kElements<T, kOp>;
    launch(unary_backward_kernel<T, kOp>, grid_for((args.n + N - 1) / N, kBlockThreads, INT32_MAX),
           args.stream, static_cast<T*>(args.dx), static_cast<const T*>(args.grad),
           static_cast<const T*>(args.saved), args.n,
           aligned_for_packs(16, args.dx, args.grad, args.saved), static_cast<float>(args.a),
           static_cast<float>(args.b));
  });
}

/// Calls run<op>() with the op known while compiling.
template <class Run>
void with_op(UnaryOp op, const Run& run) {
#define SING_UNARY(NAME) \
  case UnaryOp::NAME:    \
    return run.template operator()<UnaryOp::NAME>();
  switch (op) {
    SING_UNARY(affine)
    SING_UNARY(abs)
    SING_UNARY(exp)
    SING_UNARY(log)
    SING_UNARY(sqrt)
    SING_UNARY(rsqrt)
    SING_UNARY(square)
    SING_UNARY(reciprocal)
    SING_UNARY(sin)
    SING_UNARY(cos)
    SING_UNARY(erf)
    SING_UNARY(sigmoid)
    SING_UNARY(tanh)
    SING_UNARY(relu)
    SING_UNARY(silu)
    SING_UNARY(softplus)
    SING_UNARY(gelu)
    SING_UNARY(gelu_tanh)
    SING_UNARY(leaky_relu)
    SING_UNARY(clamp)
    SING_UNARY(pow)
  }
#undef SING_UNARY
}

void unary_forward(const kernels::UnaryArgs& args) {
  if (args.n == 0) return;
  with_op(args.op, [&]<UnaryOp kOp>() { run_forward<kOp>(args); });
}
void unary_backward(const kernels::UnaryBackwardArgs& args) {
  if (args.n == 0) return;
  with_op(args.op, [&]<UnaryOp kOp>() { run_backward<kOp>(args); });
}

SING_CUDA_KERNEL(kernels::unary_fwd, unary_forward)
SING_CUDA_KERNEL(kernels::unary_bwd, unary_backward)

}  // namespace
}  // namespace sing::cuda
