// Element-wise functions of two operands with broadcasting, and their derivatives.
#include "kernels/cuda/walk.h"
#include "kernels/elementwise.h"

namespace sing::cuda {
namespace {

using kernels::BinaryOp;

template <class V>
SING_DEVICE V binary_value(BinaryOp op, V a, V b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::sub:
      return a - b;
    case BinaryOp::mul:
      return a * b;
    case BinaryOp::div:
      if constexpr (std::is_floating_point_v<V>) return a / b;
      break;
    case BinaryOp::div_or_zero:
      if constexpr (std::is_floating_point_v<V>) return b == 0 ? V{} : a / b;
      break;
    case BinaryOp::maximum:
      return a != a || a > b ? a : b;
    case BinaryOp::minimum:
      return a != a || a < b ? a : b;
  }
  return a;
}

/// The op known while compiling; runs at the speed of memory.
template <BinaryOp kOp>
struct FixedOp {
  template <class T>
  SING_DEVICE T operator()(T a, T b) const {
    return from_value<T>(binary_value(kOp, to_value(a), to_value(b)));
  }
};
struct AnyOp {
  BinaryOp op;
  template <class T>
  SING_DEVICE T operator()(T a, T b) const {
    return from_value<T>(binary_value(op, to_value(a), to_value(b)));
  }
};

template <class T>
void run_floating(BinaryOp op, Stream stream, const kernels::Walk<3>& walk, void* out,
                  const void* a, const void* b) {
  const auto run = [&]<BinaryOp kOp>() {
    run_walk(stream, walk, FixedOp<kOp>{}, AnyOp{kOp}, static_cast<T*>(out),
             static_cast<const T*>(a), static_cast<const T*>(b));
  };
  switch (op) {
    case BinaryOp::add:
      return run.template operator()<BinaryOp::add>();
    case BinaryOp::sub:
      return run.template operator()<BinaryOp::sub>();
    case BinaryOp::mul:
      return run.template operator()<BinaryOp::mul>();
    case BinaryOp::div:
      return run.template operator()<BinaryOp::div>();
    case BinaryOp::div_or_zero:
      return run.template operator()<BinaryOp::div_or_zero>();
    case BinaryOp::maximum:
      return run.template operator()<BinaryOp::maximum>();
    case BinaryOp::minimum:
      return run.template operator()<BinaryOp::minimum>();
  }
}

void binary(const kernels::BinaryArgs& args) {
  const bool divides = args.op == BinaryOp::div || args.op == BinaryOp::div_or_zero;
  const auto run_integers = [&](auto tag) {
    using T = decltype(tag);
    run_walk(args.stream, args.walk, AnyOp{args.op}, AnyOp{args.op}, static_cast<T*>(args.out),
             static_cast<const T*>(args.a), static_cast<const T*>(args.b));
  };
  if (args.dtype == DType::i64 && !divides) return run_integers(int64_t{});
  if (args.dtype == DType::i32 && !divides) return run_integers(int32_t{});
  dispatch_floating("binary", args.dtype, [&](auto tag) {
    run_floating<decltype(tag)>(args.op, args.stream, args.walk, args.out, args.a, args.b);
  });
}

/// What needs grad and both operands.
struct Derivative {
  BinaryOp op;
  int which;
  template <class T>
  SING_DEVICE T operator()(T grad, T first, T second) const {
    using V = compute_t<T>;
    const V g = to_value(grad), a = to_value(first), b = to_value(second);
    if (op == BinaryOp::div) return from_value<T>(-g * ((a / b) / b));
    const bool wins = (op == BinaryOp::maximum) == (which == 0) ? a > b : a < b;
    return from_value<T>(wins ? g : a == b ? g / 2 : V{});
  }
};

void binary_backward(const kernels::BinaryBackwardArgs& args) {
  dispatch_floating("binary_bwd", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    // An operand that the derivative does not need is not read.
    if (args.op == BinaryOp::mul && args.which == 1)
      return run_floating<T>(BinaryOp::mul, args.stream,
                             chosen(args.walk, std::index_sequence<0, 1, 2>{}), args.out, args.grad,
                             args.a);
    if ((args.op == BinaryOp::mul || args.op == BinaryOp::div) && args.which == 0)
      return run_floating<T>(args.op, args.stream,
                             chosen(args.walk, std::index_sequence<0, 1, 3>{}), args.out, args.grad,
                             args.b);
    if (args.op != BinaryOp::div && args.op != BinaryOp::maximum && args.op != BinaryOp::minimum)
      throw InternalError("binary_bwd: this op needs no kernel");
    const Derivative derivative{args.op, args.which};
    run_walk(args.stream, args.walk, derivative, derivative, static_cast<T*>(args.out),
             static_cast<const T*>(args.grad), static_cast<const T*>(args.a),
             static_cast<const T*>(args.b));
  });
}

SING_CUDA_KERNEL(kernels::binary, binary)
SING_CUDA_KERNEL(kernels::binary_bwd, binary_backward)

}  // namespace
}  // namespace sing::cuda
