#pragma once
#include <memory>

#include "sing/tensor/tensor.h"

namespace sing {

/// Tensor::wrap for memory of any device: a dense row-major view with a write counter of its own.
SING_API Tensor wrap_on(Device device, void* data, const Shape& shape, DType dtype,
                        std::shared_ptr<void> owner = {});

}  // namespace sing
