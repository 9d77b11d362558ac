#pragma once
#include <utility>

#include "sing/tensor/tensor.h"

namespace sing {

struct Tensor::Impl {
  Shape shape;
  Strides strides{};
  int64_t offset = 0;
  DType dtype = DType::f32;
  std::shared_ptr<Storage> storage;
  std::shared_ptr<autograd::Meta> meta;

  static Tensor handle(std::shared_ptr<Impl> impl) { return Tensor(std::move(impl)); }
};

}  // namespace sing
