#pragma once
// How reference kernels turn a dtype into a C++ type, and elements into numbers to compute with.
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/dispatch.h"
#include "sing/core/dtype.h"
#include "sing/core/error.h"

namespace sing::kernels::cpu {

using kernels::dispatch_all;

/// Calls f(T{}) with the element type of a floating dtype; anything else is a mistake of the op (it
/// checks dtypes).
template <class F>
void dispatch_floating(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bfloat16{});
    case DType::f16:
      return f(float16{});
    default:
      throw InternalError("a floating dtype was expected, got " + std::string(name_of(dtype)));
  }
}

/// The same for i32 and i64 (indices).
template <class F>
void dispatch_index(DType dtype, F&& f) {
  switch (dtype) {
    case DType::i64:
      return f(int64_t{});
    case DType::i32:
      return f(int32_t{});
    default:
      throw InternalError("an index dtype was expected, got " + std::string(name_of(dtype)));
  }
}

/// What a reference kernel computes in: f64 for f64, f32 for the narrower floating types.
template <class T>
using compute_t = std::conditional_t<std::is_same_v<T, double>, double, float>;
/// What it sums in: f64 for everything.
using sum_t = double;

template <class T>
inline auto to_value(T x) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return static_cast<float>(x);
  else
    return x;
}
template <class T, class V>
inline T from_value(V x) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return T(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, bool>)
    return x != V{};
  else
    return static_cast<T>(x);
}
/// The type a conversion goes through.
template <class A, class B>
using common_value = std::common_type_t<decltype(to_value(A{})), decltype(to_value(B{}))>;

}  // namespace sing::kernels::cpu
