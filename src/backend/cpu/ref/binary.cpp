#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "backend/cpu/ref/walk.h"
#include "kernels/elementwise.h"

namespace sing::kernels {

SING_DEFINE_SLOT(binary, BinaryArgs)
SING_DEFINE_SLOT(binary_bwd, BinaryBackwardArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

template <class V>
bool is_nan(V x) {
  if constexpr (std::is_floating_point_v<V>) return std::isnan(x);
  return false;
}

/// Calls f(function of two values) for the op.
template <class F>
void with_function(BinaryOp op, F f) {
  switch (op) {
    case BinaryOp::add:
      return f([](auto a, auto b) { return a + b; });
    case BinaryOp::sub:
      return f([](auto a, auto b) { return a - b; });
    case BinaryOp::mul:
      return f([](auto a, auto b) { return a * b; });
    case BinaryOp::div:
      return f([](auto a, auto b) { return a / b; });
    case BinaryOp::div_or_zero:
      return f([](auto a, auto b) { return b == decltype(b){} ? decltype(a / b){} : a / b; });
    case BinaryOp::maximum:
      return f([](auto a, auto b) { return is_nan(a) || a > b ? a : b; });
    case BinaryOp::minimum:
      return f([](auto a, auto b) { return is_nan(a) || a < b ? a : b; });
  }
}

template <class T>
void binary_of(const BinaryArgs& args) {
  T* out = static_cast<T*>(args.out);
  const T *a = static_cast<const T*>(args.a), *b = static_cast<const T*>(args.b);
  with_function(args.op, [&](auto function) {
    cpu::for_each_row(args.walk, [=](const auto& at, const auto& step, int64_t n) {
      for (int64_t i = 0; i < n; ++i)
        out[at[0] + i * step[0]] = from_value<T>(
            function(to_value(a[at[1] + i * step[1]]), to_value(b[at[2] + i * step[2]])));
    });
  });
}

void binary_reference(const BinaryArgs& args) {
  const bool divides = args.op == BinaryOp::div || args.op == BinaryOp::div_or_zero;
  if (args.dtype == DType::i64 && !divides) return binary_of<int64_t>(args);
  if (args.dtype == DType::i32 && !divides) return binary_of<int32_t>(args);
  cpu::dispatch_floating(args.dtype, [&](auto tag) { binary_of<decltype(tag)>(args); });
}

/// The derivative by one side, times grad.
template <class F>
void with_derivative(BinaryOp op, int which, F f) {
  switch (op) {
    case BinaryOp::mul:
      if (which == 0) return f([](auto g, auto, auto b) { return g * b; });
      return f([](auto g, auto a, auto) { return g * a; });
    case BinaryOp::div:
      if (which == 0) return f([](auto g, auto, auto b) { return g / b; });
      return f([](auto g, auto a, auto b) { return -g * ((a / b) / b); });
    case BinaryOp::maximum:
      if (which == 0)
        return f([](auto g, auto a, auto b) { return a > b ? g : a == b ? g / 2 : decltype(g){}; });
      return f([](auto g, auto a, auto b) { return b > a ? g : a == b ? g / 2 : decltype(g){}; });
    case BinaryOp::minimum:
      if (which == 0)
        return f([](auto g, auto a, auto b) { return a < b ? g : a == b ? g / 2 : decltype(g){}; });
      return f([](auto g, auto a, auto b) { return b < a ? g : a == b ? g / 2 : decltype(g){}; });
    default:
      throw InternalError("binary_bwd: this op needs no kernel");
  }
}

void binary_backward_reference(const BinaryBackwardArgs& args) {
  cpu::dispatch_floating(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* out = static_cast<T*>(args.out);
    const T *g = static_cast<const T*>(args.grad), *a = static_cast<const T*>(args.a),
            *b = static_cast<const T*>(args.b);
    with_derivative(args.op, args.which, [&](auto derivative) {
      cpu::for_each_row(args.walk, [=](const auto& at, const auto& step, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
          out[at[0] + i * step[0]] = from_value<T>(derivative(to_value(g[at[1] + i * step[1]]),
                                                              to_value(a[at[2] + i * step[2]]),
                                                              to_value(b[at[3] + i * step[3]])));
      });
    });
  });
}

SING_REFERENCE_KERNEL(binary, binary_reference)
SING_REFERENCE_KERNEL(binary_bwd, binary_backward_reference)

}  // namespace
}  // namespace sing::kernels
