#pragma once
// Checks that products, norms and attention share. Each throws a message that starts with the op.
#include <initializer_list>
#include <string>

#include "sing/core/error.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

struct NamedInput {
  const char* name;
  const Tensor& tensor;
};

/// All defined inputs are floating and of the first one's dtype.
inline void check_one_floating_dtype(const char* op, std::initializer_list<NamedInput> inputs) {
  const NamedInput& first = *inputs.begin();
  for (const NamedInput& input : inputs) {
    if (!input.tensor.defined()) continue;
    if (!is_floating(input.tensor.dtype()))
      throw DTypeError(std::string(op) + ": " + input.name + " must be floating; got " +
                       describe(input.tensor));
    if (input.tensor.dtype() != first.tensor.dtype())
      throw DTypeError(std::string(op) + ": " + input.name + " must be " +
                       std::string(name_of(first.tensor.dtype())) + " like " + first.name +
                       "; got " + describe(input.tensor));
  }
}

/// A vector of `size` elements, or undefined.
inline void check_vector(const char* op, const char* name, const Tensor& t, int64_t size) {
  if (t.defined() && t.shape() != Shape{size})
    throw ShapeError(std::string(op) + ": " + name + " must be (" + std::to_string(size) +
                     "); got " + to_string(t.shape()));
}

/// Statistics and row sums of a dtype: f64 for f64, f32 for the rest.
inline DType wide_dtype(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace sing::ops
