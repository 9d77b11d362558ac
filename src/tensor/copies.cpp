#include "kernels/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "tensor/tensor_impl.h"

namespace sing {
namespace {

kernels::StridedCopyArgs copy_args(Tensor& to, const Tensor& from) {
  kernels::StridedCopyArgs a{};
  a.to = to.mutable_raw();
  a.from = from.raw();
  a.to_dtype = to.dtype();
  a.from_dtype = from.dtype();
  a.rank = to.rank();
  for (size_t i = 0; i < static_cast<size_t>(a.rank); ++i) {
    a.dims[i] = to.shape().dims()[i];
    a.to_strides[i] = to.strides()[i];
    a.from_strides[i] = from.strides()[i];
  }
  return a;
}

}  // namespace

void Tensor::copy_from(const Tensor& source) {
  if (device() != source.device()) {
    copy_from(source.to(device()));
    return;
  }
  const Tensor from = source.shape() == shape() ? source.detach() : source.expand(shape());
  kernels::strided_copy(device().type, copy_args(*this, from));
}

void Tensor::fill(double value) {
  if (is_contiguous() || is_channels_last()) {
    kernels::fill(device().type, {mutable_raw(), dtype(), numel(), value, {}});
  } else {
    copy_from(full({}, value, {.dtype = dtype(), .device = device()}));
  }
}

Tensor Tensor::contiguous(MemoryFormat format) const {
  const bool already = format == MemoryFormat::contiguous ? is_contiguous() : is_channels_last();
  if (already) return *this;
  Tensor copy = empty(shape(), {.dtype = dtype(), .device = device(), .format = format});
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::clone() const {
  Tensor copy = empty_like(*this);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(DType wanted) const {
  if (wanted == dtype()) return *this;
  const bool channels_last = is_channels_last() && !is_contiguous();
  Tensor copy = empty(
      shape(), {.dtype = wanted,
                .device = device(),
                .format = channels_last ? MemoryFormat::channels_last : MemoryFormat::contiguous});
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device wanted) const {
  if (wanted == device()) return *this;
  const bool channels_last = is_channels_last() && !is_contiguous();
  const MemoryFormat format =
      channels_last ? MemoryFormat::channels_last : MemoryFormat::contiguous;
  const Tensor dense = contiguous(format);
  Tensor copy = empty(shape(), {.dtype = dtype(), .device = wanted, .format = format});
  using backend::CopyKind;
  const bool to_host = wanted.type == DeviceType::cpu;
  const bool from_host = device().type == DeviceType::cpu;
  const CopyKind kind = to_host     ? CopyKind::device_to_host
                        : from_host ? CopyKind::host_to_device
                                    : CopyKind::device_to_device;
  backend::DeviceRuntime& runtime = backend::runtime(to_host ? device() : wanted);
  runtime.copy(copy.mutable_raw(), dense.raw(),
               static_cast<size_t>(checked_bytes(numel(), dtype())), kind, runtime.stream(0));
  runtime.synchronize(runtime.stream(0));
  return copy;
}

double Tensor::item() const {
  if (numel() != 1) throw ShapeError("item: wanted one element; got shape " + to_string(shape()));
  return to_vector()[0];
}

std::vector<double> Tensor::to_vector() const {
  const Tensor host = to(Device{}).to(DType::f64).contiguous();
  const double* values = host.data<double>();
  return std::vector<double>(values, values + host.numel());
}

}  // namespace sing
