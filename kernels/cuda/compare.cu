// Comparisons of any dtype, and the choice between two tensors.
#include "kernels/cuda/walk.h"
#include "kernels/elementwise.h"

namespace sing::cuda {
namespace {

using kernels::CompareOp;

struct Compare {
  CompareOp op;
  template <class T>
  SING_DEVICE bool operator()(T first, T second) const {
    const auto a = to_value(first), b = to_value(second);
    using V = std::remove_cv_t<decltype(a)>;
    switch (op) {
      case CompareOp::equal:
        return a == b;
      case CompareOp::not_equal:
        return a != b;
      case CompareOp::less:
        return a < b;
      case CompareOp::less_equal:
        return a <= b;
      case CompareOp::greater:
        return a > b;
      case CompareOp::greater_equal:
        return a >= b;
      case CompareOp::logical_and:
        return a != V{} && b != V{};
      case CompareOp::logical_or:
        return a != V{} || b != V{};
      case CompareOp::logical_xor:
        return (a != V{}) != (b != V{});
    }
    return false;
  }
};

struct Choose {
  template <class Bits>
  SING_DEVICE Bits operator()(bool condition, Bits a, Bits b) const {
    return condition ? a : b;
  }
};

template <class T>
void compare_of(const kernels::CompareArgs& args) {
  run_walk(args.stream, args.walk, Compare{args.op}, Compare{args.op}, args.out,
           static_cast<const T*>(args.a), static_cast<const T*>(args.b));
}

void compare(const kernels::CompareArgs& args) {
  switch (args.dtype) {
    case DType::f64:
      return compare_of<double>(args);
    case DType::f32:
      return compare_of<float>(args);
    case DType::bf16:
      return compare_of<bfloat16>(args);
    case DType::f16:
      return compare_of<float16>(args);
    case DType::i64:
      return compare_of<int64_t>(args);
    case DType::i32:
      return compare_of<int32_t>(args);
    case DType::u8:
    case DType::boolean:  // 0 or 1
      return compare_of<uint8_t>(args);
  }
}

/// Elements are only moved, so their size is all that matters.
template <class Bits>
void where_of(const kernels::WhereArgs& args) {
  run_walk(args.stream, args.walk, Choose{}, Choose{}, static_cast<Bits*>(args.out), args.condition,
           static_cast<const Bits*>(args.a), static_cast<const Bits*>(args.b));
}

void where(const kernels::WhereArgs& args) {
  switch (size_of(args.dtype)) {
    case 8:
      return where_of<uint64_t>(args);
    case 4:
      return where_of<uint32_t>(args);
    case 2:
      return where_of<uint16_t>(args);
    default:
      return where_of<uint8_t>(args);
  }
}

SING_CUDA_KERNEL(kernels::compare, compare)
SING_CUDA_KERNEL(kernels::where, where)

}  // namespace
}  // namespace sing::cuda
