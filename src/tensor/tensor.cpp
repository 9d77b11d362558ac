#include "sing/tensor/tensor.h"

#include <cstring>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "tensor/tensor_impl.h"

namespace sing {
namespace {

Tensor::Strides strides_for(const Shape& shape, MemoryFormat format) {
  if (format == MemoryFormat::contiguous) return row_major_strides(shape);
  if (shape.rank() != 4)
    throw ShapeError("channels_last needs 4 dimensions, got " + to_string(shape));
  const Shape nhwc{shape[0], shape[2], shape[3], shape[1]};
  const Tensor::Strides s = row_major_strides(nhwc);
  return {s[0], s[3], s[1], s[2]};
}

bool dense_in_order(const Shape& shape, std::span<const int64_t> strides,
                    std::initializer_list<int> order) {
  int64_t step = 1;
  for (auto it = std::rbegin(order); it != std::rend(order); ++it) {
    if (shape[*it] == 1) continue;
    if (strides[static_cast<size_t>(*it)] != step) return false;
    step *= shape[*it];
  }
  return true;
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, TensorOptions options) {
  auto impl = std::make_shared<Impl>();
  impl->shape = shape;
  impl->strides = strides_for(shape, options.format);
  impl->dtype = options.dtype;
  try {
    impl->storage = std::make_shared<Storage>(
        static_cast<size_t>(checked_bytes(shape.numel(), options.dtype)), options.device);
  } catch (const OutOfMemoryError& error) {
    throw error.within(to_string(shape) + " " + std::string(name_of(options.dtype)));
  }
  return Tensor(std::move(impl));
}

Tensor Tensor::zeros(const Shape& shape, TensorOptions options) {
  Tensor t = empty(shape, options);
  backend::runtime(options.device).fill_zero(t.storage()->data(), t.storage()->bytes(), {});
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, TensorOptions options) {
  Tensor t = empty(shape, options);
  t.fill(value);
  return t;
}

Tensor Tensor::from_bytes(const void* values, int64_t count, DType dtype, const Shape& shape) {
  if (count != shape.numel())
    throw ShapeError("Tensor::from: shape " + to_string(shape) + " wants " +
                     std::to_string(shape.numel()) + " values; got " + std::to_string(count));
  Tensor t = empty(shape, {.dtype = dtype});
  const size_t bytes = static_cast<size_t>(checked_bytes(count, dtype));
  if (bytes > 0) std::memcpy(t.mutable_raw(), values, bytes);
  return t;
}

Tensor Tensor::wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner) {
  auto impl = std::make_shared<Impl>();
  impl->shape = shape;
  impl->strides = row_major_strides(shape);
  impl->dtype = dtype;
  impl->storage = std::make_shared<Storage>(
      data, static_cast<size_t>(checked_bytes(shape.numel(), dtype)), Device{}, std::move(owner));
  return Tensor(std::move(impl));
}

const Tensor::Impl& Tensor::impl() const {
  if (!impl_) throw InternalError("an undefined tensor was used");
  return *impl_;
}
const Shape& Tensor::shape() const {
  return impl().shape;
}
DType Tensor::dtype() const {
  return impl().dtype;
}
Device Tensor::device() const {
  return impl().storage->device();
}
std::span<const int64_t> Tensor::strides() const {
  return {impl().strides.data(), static_cast<size_t>(impl().shape.rank())};
}
int64_t Tensor::stride(int dim) const {
  return impl().strides[static_cast<size_t>(shape().normalized(dim))];
}
int64_t Tensor::offset() const {
  return impl().offset;
}
const std::shared_ptr<Storage>& Tensor::storage() const {
  return impl().storage;
}

bool Tensor::is_contiguous() const {
  const Impl& t = impl();
  int64_t step = 1;
  for (int i = t.shape.rank() - 1; i >= 0; --i) {
    if (t.shape[i] == 1) continue;
    if (t.strides[static_cast<size_t>(i)] != step) return t.shape.numel() == 0;
    step *= t.shape[i];
  }
  return true;
}

bool Tensor::is_channels_last() const {
  return rank() == 4 && dense_in_order(shape(), strides(), {0, 2, 3, 1});
}

namespace {

void* first_element(const Tensor::Impl& t) {
  return static_cast<char*>(t.storage->data()) + t.offset * static_cast<int64_t>(size_of(t.dtype));
}

}  // namespace

const void* Tensor::raw() const {
  const Impl& t = impl();
  const void* data = first_element(t);
  backend::note_operand(data, t.shape, t.dtype, false);
  return data;
}

void* Tensor::mutable_raw() {
  const Impl& t = impl();
  t.storage->bump_version();
  void* data = first_element(t);
  backend::note_operand(data, t.shape, t.dtype, true);
  return data;
}

void Tensor::check_dtype(DType wanted) const {
  if (dtype() != wanted)
    throw DTypeError("the tensor holds " + std::string(name_of(dtype())) + ", not " +
                     std::string(name_of(wanted)));
}

const std::shared_ptr<autograd::Meta>& Tensor::autograd_meta() const {
  return impl().meta;
}
void Tensor::set_autograd_meta(std::shared_ptr<autograd::Meta> meta) {
  impl();
  impl_->meta = std::move(meta);
}

Tensor empty_like(const Tensor& like) {
  const bool channels_last = like.is_channels_last() && !like.is_contiguous();
  return Tensor::empty(like.shape(), {.dtype = like.dtype(),
                                      .device = like.device(),
                                      .format = channels_last ? MemoryFormat::channels_last
                                                              : MemoryFormat::contiguous});
}

Tensor zeros_like(const Tensor& like) {
  Tensor t = empty_like(like);
  backend::runtime(t.device()).fill_zero(t.storage()->data(), t.storage()->bytes(), {});
  return t;
}

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  return std::string(name_of(tensor.dtype())) + " " + to_string(tensor.shape());
}

}  // namespace sing
