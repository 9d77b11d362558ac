// Element-wise ops of two tensors in f32 and bf16, with broadcasting along whole rows.
#include "backend/cpu/simd/walk_rows.h"
#include "kernels/elementwise.h"

namespace sing::kernels::SING_SIMD {
namespace {

template <BinaryOp kOp>
SING_INLINE vf value(vf a, vf b) {
  if constexpr (kOp == BinaryOp::add) return a + b;
  if constexpr (kOp == BinaryOp::sub) return a - b;
  if constexpr (kOp == BinaryOp::mul) return a * b;
  if constexpr (kOp == BinaryOp::div) return a / b;
  if constexpr (kOp == BinaryOp::div_or_zero) return (b == 0.0f) ? vf{} : a / b;
  // NaN in either stays: a NaN b is what `max` keeps, a NaN a is put back.
  if constexpr (kOp == BinaryOp::maximum) return (a != a) ? a : max(a, b);
  if constexpr (kOp == BinaryOp::minimum) return (a != a) ? a : min(a, b);
}

template <BinaryOp kOp, bool kBf16>
bool binary_of(const BinaryArgs& args) {
  using E = Elements<kBf16>;
  return for_each_row(args.walk, [&args](const RowOperand* at, int64_t n) {
    const RowLoader<kBf16> a(args.a, at[1]), b(args.b, at[2]);
    const int64_t to = at[0].offset;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) E::put(args.out, to + i, value<kOp>(a.get(i), b.get(i)));
    if (i == n) return;
    const Mask lanes = first(n - i);
    E::put(args.out, to + i, value<kOp>(a.get(i, lanes), b.get(i, lanes)), lanes);
  });
}

template <bool kBf16>
bool binary_typed(const BinaryArgs& a) {
  switch (a.op) {
    case BinaryOp::add:
      return binary_of<BinaryOp::add, kBf16>(a);
    case BinaryOp::sub:
      return binary_of<BinaryOp::sub, kBf16>(a);
    case BinaryOp::mul:
      return binary_of<BinaryOp::mul, kBf16>(a);
    case BinaryOp::div:
      return binary_of<BinaryOp::div, kBf16>(a);
    case BinaryOp::maximum:
      return binary_of<BinaryOp::maximum, kBf16>(a);
    case BinaryOp::minimum:
      return binary_of<BinaryOp::minimum, kBf16>(a);
    case BinaryOp::div_or_zero:
      return binary_of<BinaryOp::div_or_zero, kBf16>(a);
  }
  return false;
}

bool binary_own(const BinaryArgs& a) {
  if (!is_f32_or_bf16(a.dtype)) return false;
  return a.dtype == DType::bf16 ? binary_typed<true>(a) : binary_typed<false>(a);
}

template <BinaryOp kOp, int kWhich>
SING_INLINE vf derivative(vf g, vf a, vf b) {
  if constexpr (kOp == BinaryOp::mul) return g * (kWhich == 0 ? b : a);
  if constexpr (kOp == BinaryOp::div) return kWhich == 0 ? g / b : -g * ((a / b) / b);
  const vf mine = kWhich == 0 ? a : b, other = kWhich == 0 ? b : a;
  const vf tie = (mine == other) ? g * 0.5f : vf{};
  if constexpr (kOp == BinaryOp::maximum) return (mine > other) ? g : tie;
  return (mine < other) ? g : tie;
}

template <BinaryOp kOp, int kWhich, bool kBf16>
bool backward_of(const BinaryBackwardArgs& args) {
  using E = Elements<kBf16>;
  return for_each_row(args.walk, [&args](const RowOperand* at, int64_t n) {
    const RowLoader<kBf16> g(args.grad, at[1]), a(args.a, at[2]), b(args.b, at[3]);
    const int64_t to = at[0].offset;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth)
      E::put(args.out, to + i, derivative<kOp, kWhich>(g.get(i), a.get(i), b.get(i)));
    if (i == n) return;
    const Mask lanes = first(n - i);
    E::put(args.out, to + i,
           derivative<kOp, kWhich>(g.get(i, lanes), a.get(i, lanes), b.get(i, lanes)), lanes);
  });
}

template <BinaryOp kOp>
bool backward_op(const BinaryBackwardArgs& a) {
  if (a.dtype == DType::bf16)
    return a.which == 0 ? backward_of<kOp, 0, true>(a) : backward_of<kOp, 1, true>(a);
  return a.which == 0 ? backward_of<kOp, 0, false>(a) : backward_of<kOp, 1, false>(a);
}

bool backward_own(const BinaryBackwardArgs& a) {
  if (!is_f32_or_bf16(a.dtype)) return false;
  switch (a.op) {
    case BinaryOp::mul:
      return backward_op<BinaryOp::mul>(a);
    case BinaryOp::div:
      return backward_op<BinaryOp::div>(a);
    case BinaryOp::maximum:
      return backward_op<BinaryOp::maximum>(a);
    case BinaryOp::minimum:
      return backward_op<BinaryOp::minimum>(a);
    default:
      return false;
  }
}

SING_SIMD_KERNEL(binary, binary_own, "own")
SING_SIMD_KERNEL(binary_bwd, backward_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
