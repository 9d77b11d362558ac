#pragma once
#include "sing/autograd/tape.h"

namespace sing::ops {

/// Where a backward kernel puts the gradient of one input: the buffer of a leaf, which it adds to,
/// or a new dense tensor shaped `like`. Undefined when no gradient is wanted.
struct Target {
  Tensor tensor;
  bool accumulate = false;

  Target() = default;
  Target(const autograd::Needs& needs, size_t input, const Tensor& like) {
    if (!needs[input]) return;
    tensor = needs.target(input);
    accumulate = tensor.defined();
    if (!accumulate)
      tensor = Tensor::empty(like.shape(), {.dtype = like.dtype(), .device = like.device()});
  }
  /// Always a new tensor, for kernels that cannot add.
  static Target fresh(const autograd::Needs& needs, size_t input, const Tensor& like) {
    Target target;
    if (needs[input])
      target.tensor = Tensor::empty(like.shape(), {.dtype = like.dtype(), .device = like.device()});
    return target;
  }
  void* data() { return tensor.defined() ? tensor.mutable_raw() : nullptr; }
  /// What the tape has to add itself.
  Tensor result() const { return accumulate ? Tensor() : tensor; }
};

}  // namespace sing::ops
