#pragma once
#include "sing/tensor/tensor.h"

namespace sing::data {

/// Zeros in host memory from which `device` copies without a detour.
Tensor staging(const Shape& shape, DType dtype, Device device);

}  // namespace sing::data
