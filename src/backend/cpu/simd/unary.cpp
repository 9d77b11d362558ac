// Element-wise ops of one tensor in f32 and bf16. What is not here (sin, cos, pow, softplus) is not
// on any hot path; the plain kernels serve it.
#include "backend/cpu/simd/elements.h"
#include "kernels/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kGrain = 1 << 13;

template <UnaryOp kOp>
SING_INLINE vf value(vf x, [[maybe_unused]] vf a, [[maybe_unused]] vf b) {
  if constexpr (kOp == UnaryOp::affine) return a * x + b;
  if constexpr (kOp == UnaryOp::abs) return abs(x);
  if constexpr (kOp == UnaryOp::exp) return exp(x);
  if constexpr (kOp == UnaryOp::log) return log(x);
  if constexpr (kOp == UnaryOp::sqrt) return sqrt(x);
  if constexpr (kOp == UnaryOp::rsqrt) return 1.0f / sqrt(x);
  if constexpr (kOp == UnaryOp::square) return x * x;
  if constexpr (kOp == UnaryOp::reciprocal) return 1.0f / x;
  if constexpr (kOp == UnaryOp::erf) return erf(x);
  if constexpr (kOp == UnaryOp::sigmoid) return sigmoid(x);
  if constexpr (kOp == UnaryOp::tanh) return tanh(x);
  if constexpr (kOp == UnaryOp::relu) return (x <= 0.0f) ? vf{} : x;  // NaN stays
  if constexpr (kOp == UnaryOp::silu) return x * sigmoid(x);
  if constexpr (kOp == UnaryOp::gelu) return gelu(x);
  if constexpr (kOp == UnaryOp::gelu_tanh) return gelu_tanh(x);
  if constexpr (kOp == UnaryOp::leaky_relu) return (x > 0.0f) ? x : x * a;
  if constexpr (kOp == UnaryOp::clamp) return (x < a) ? a : (x > b) ? b : x;
}

/// `s` is the output or the input (derivative_from_output).
template <UnaryOp kOp>
SING_INLINE vf derivative(vf g, vf s, [[maybe_unused]] vf a, [[maybe_unused]] vf b) {
  if constexpr (kOp == UnaryOp::affine) return g * a;
  if constexpr (kOp == UnaryOp::abs) return (s > 0.0f) ? g : (s < 0.0f) ? -g : vf{};
  if constexpr (kOp == UnaryOp::exp) return g * s;
  if constexpr (kOp == UnaryOp::log) return g / s;
  if constexpr (kOp == UnaryOp::sqrt) return g / (s + s);
  if constexpr (kOp == UnaryOp::rsqrt) return g * (s * s * s) * -0.5f;
  if constexpr (kOp == UnaryOp::square) return g * (s + s);
  if constexpr (kOp == UnaryOp::reciprocal) return -g * s * s;
  if constexpr (kOp == UnaryOp::erf) return g * (1.12837917f * exp(-s * s));  // 2 / sqrt(pi)
  if constexpr (kOp == UnaryOp::sigmoid) return g * s * (1.0f - s);
  if constexpr (kOp == UnaryOp::tanh) return g * (1.0f - s * s);
  if constexpr (kOp == UnaryOp::relu) return (s > 0.0f) ? g : vf{};
  if constexpr (kOp == UnaryOp::silu) {
    const vf y = sigmoid(s);
    return g * y * (1.0f + s * (1.0f - y));
  }
  if constexpr (kOp == UnaryOp::gelu) return g * gelu_derivative(s);
  if constexpr (kOp == UnaryOp::gelu_tanh) return g * gelu_tanh_derivative(s);
  if constexpr (kOp == UnaryOp::leaky_relu) return (s > 0.0f) ? g : g * a;
  if constexpr (kOp == UnaryOp::clamp) return (s < a) ? vf{} : (s > b) ? vf{} : g;
}

template <UnaryOp kOp, bool kBf16>
void forward_of(const UnaryArgs& args) {
  using E = Elements<kBf16>;
  const vf a = set1(static_cast<float>(args.a)), b = set1(static_cast<float>(args.b));
  parallel_ranges(args.n, kGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth) E::put(args.y, i, value<kOp>(E::get(args.x, i), a, b));
    if (i == end) return;
    const Mask lanes = first(end - i);
    E::put(args.y, i, value<kOp>(E::get(args.x, i, lanes), a, b), lanes);
  });
}

template <UnaryOp kOp, bool kBf16>
void backward_of(const UnaryBackwardArgs& args) {
  using E = Elements<kBf16>;
  const vf a = set1(static_cast<float>(args.a)), b = set1(static_cast<float>(args.b));
  const void* saved = kOp == UnaryOp::affine ? args.grad : args.saved;
  parallel_ranges(args.n, kGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth)
      E::put(args.dx, i, derivative<kOp>(E::get(args.grad, i), E::get(saved, i), a, b));
    if (i == end) return;
    const Mask lanes = first(end - i);
    E::put(args.dx, i, derivative<kOp>(E::get(args.grad, i, lanes), E::get(saved, i, lanes), a, b),
           lanes);
  });
}

// clang-format off
#define SING_UNARY_OPS(X) \
  X(affine) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(square) X(reciprocal) X(erf) \
  X(sigmoid) X(tanh) X(relu) X(silu) X(gelu) X(gelu_tanh) X(leaky_relu) X(clamp)
// clang-format on

template <UnaryOp kOp>
struct Op {
  static constexpr UnaryOp op = kOp;
};

/// Calls f(Op<op>{}); false for an op that is not here.
template <class F>
bool with_op(UnaryOp op, const F& f) {
  switch (op) {
#define SING_CASE(NAME)     \
  case UnaryOp::NAME:       \
    f(Op<UnaryOp::NAME>{}); \
    return true;
    SING_UNARY_OPS(SING_CASE)
#undef SING_CASE
    default:
      return false;
  }
}

bool forward_own(const UnaryArgs& a) {
  return is_f32_or_bf16(a.dtype) && with_op(a.op, [&](auto of) {
           a.dtype == DType::bf16 ? forward_of<of.op, true>(a) : forward_of<of.op, false>(a);
         });
}

bool backward_own(const UnaryBackwardArgs& a) {
  return is_f32_or_bf16(a.dtype) && with_op(a.op, [&](auto of) {
           a.dtype == DType::bf16 ? backward_of<of.op, true>(a) : backward_of<of.op, false>(a);
         });
}

SING_SIMD_KERNEL(unary_fwd, forward_own, "own")
SING_SIMD_KERNEL(unary_bwd, backward_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
