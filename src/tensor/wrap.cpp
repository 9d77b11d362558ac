#include "sing/tensor/wrap.h"

#include "tensor/tensor_impl.h"

namespace sing {

Tensor wrap_on(Device device, void* data, const Shape& shape, DType dtype,
               std::shared_ptr<void> owner) {
  auto impl = std::make_shared<Tensor::Impl>();
  impl->shape = shape;
  int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    impl->strides[static_cast<size_t>(d)] = stride;
    stride *= shape[d];
  }
  impl->dtype = dtype;
  impl->storage = std::make_shared<Storage>(
      data, static_cast<size_t>(shape.numel()) * size_of(dtype), device, std::move(owner));
  return Tensor::Impl::handle(std::move(impl));
}

}  // namespace sing
