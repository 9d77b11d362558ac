#include "backend/cpu/ref/dispatch.h"
#include "backend/cpu/ref/walk.h"
#include "kernels/elementwise.h"

namespace sing::kernels {

SING_DEFINE_SLOT(compare, CompareArgs)
SING_DEFINE_SLOT(where, WhereArgs)

namespace {

using cpu::to_value;

template <class V>
bool truth(V x) {
  return x != V{};
}

template <class F>
void with_function(CompareOp op, F f) {
  switch (op) {
    case CompareOp::equal:
      return f([](auto a, auto b) { return a == b; });
    case CompareOp::not_equal:
      return f([](auto a, auto b) { return a != b; });
    case CompareOp::less:
      return f([](auto a, auto b) { return a < b; });
    case CompareOp::less_equal:
      return f([](auto a, auto b) { return a <= b; });
    case CompareOp::greater:
      return f([](auto a, auto b) { return a > b; });
    case CompareOp::greater_equal:
      return f([](auto a, auto b) { return a >= b; });
    case CompareOp::logical_and:
      return f([](auto a, auto b) { return truth(a) && truth(b); });
    case CompareOp::logical_or:
      return f([](auto a, auto b) { return truth(a) || truth(b); });
    case CompareOp::logical_xor:
      return f([](auto a, auto b) { return truth(a) != truth(b); });
  }
}

void compare_reference(const CompareArgs& args) {
  cpu::dispatch_all(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    bool* out = args.out;
    const T *a = static_cast<const T*>(args.a), *b = static_cast<const T*>(args.b);
    with_function(args.op, [&](auto function) {
      cpu::for_each_row(args.walk, [=](const auto& at, const auto& step, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
          out[at[0] + i * step[0]] =
              function(to_value(a[at[1] + i * step[1]]), to_value(b[at[2] + i * step[2]]));
      });
    });
  });
}

/// Elements are only moved, so their size is all that matters.
template <class Bits>
void where_of(const WhereArgs& args) {
  Bits* out = static_cast<Bits*>(args.out);
  const bool* condition = args.condition;
  const Bits *a = static_cast<const Bits*>(args.a), *b = static_cast<const Bits*>(args.b);
  cpu::for_each_row(args.walk, [=](const auto& at, const auto& step, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      out[at[0] + i * step[0]] =
          condition[at[1] + i * step[1]] ? a[at[2] + i * step[2]] : b[at[3] + i * step[3]];
  });
}

void where_reference(const WhereArgs& args) {
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

SING_REFERENCE_KERNEL(compare, compare_reference)
SING_REFERENCE_KERNEL(where, where_reference)

}  // namespace
}  // namespace sing::kernels
