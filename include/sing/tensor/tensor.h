#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sing/core/device.h"
#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/shape.h"

namespace sing {

namespace autograd {
struct Meta;  // what the tape keeps about a tensor
}

enum class MemoryFormat : uint8_t { contiguous, channels_last };

struct TensorOptions {
  DType dtype = DType::f32;
  Device device = {};
  MemoryFormat format = MemoryFormat::contiguous;
};

/// One allocation, shared by all views of it. The version counts writes (saved tensors check it).
class SING_API Storage {
 public:
  Storage(size_t bytes, Device device);
  /// Borrows memory that `owner` keeps alive (a mapped file, a caller's array).
  Storage(void* data, size_t bytes, Device device, std::shared_ptr<void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  uint32_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
  uint32_t version_ = 0;
  uint8_t purpose_ = 0;  // backend::MemoryPurpose
  std::shared_ptr<void> owner_;
  bool owned_;
};

/// A cheap handle: copying shares everything, `clone` copies data. At most six dimensions. Image
/// tensors are logically NCHW and weights output-first whatever their strides.
/// Const methods are thread-safe; writes to shared data are the caller's to order.
class SING_API Tensor {
 public:
  struct Impl;
  using Strides = std::array<int64_t, kMaxRank>;

  Tensor() = default;  ///< undefined: defined() is false, everything else throws InternalError
  static Tensor empty(const Shape& shape, TensorOptions options = {});
  static Tensor zeros(const Shape& shape, TensorOptions options = {});
  static Tensor full(const Shape& shape, double value, TensorOptions options = {});
  /// Copies `values` (row-major). Throws ShapeError unless there are shape.numel() of them.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape) {
    return from_bytes(values.data(), static_cast<int64_t>(values.size()), dtype_v<T>, shape);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  static Tensor scalar(double value, DType dtype = DType::f32) {
    return full({}, value, {.dtype = dtype});
  }
  /// A view of foreign memory, dense row-major; `owner` (may be empty) is kept alive with it.
  static Tensor wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner = {});

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  int64_t size(int dim) const { return shape()[dim]; }
  int64_t numel() const { return shape().numel(); }
  DType dtype() const;
  Device device() const;
  std::span<const int64_t> strides() const;
  int64_t stride(int dim) const;
  int64_t offset() const;  ///< in elements, into the storage
  const std::shared_ptr<Storage>& storage() const;
  /// Elements in row-major order without holes (dimensions of size 1 do not count).
  bool is_contiguous() const;
  /// Rank 4 and elements in N, H, W, C order without holes.
  bool is_channels_last() const;

  // Views share storage and version; none of these is recorded on the tape (sing::ops has recorded
  // twins): results are detached.
  Tensor view(const Shape& shape) const;  ///< throws ShapeError when strides forbid it
  Tensor permute(std::span<const int> order) const;
  Tensor permute(std::initializer_list<int> order) const {
    return permute(std::span<const int>(order.begin(), order.size()));
  }
  Tensor transpose(int a, int b) const;
  Tensor narrow(int dim, int64_t start, int64_t length) const;
  Tensor expand(const Shape& shape) const;  ///< stride 0 where a dimension of size 1 stretches
  Tensor squeeze(int dim) const;
  Tensor unsqueeze(int dim) const;
  Tensor detach() const;

  // Copies; not recorded either.
  Tensor contiguous(
      MemoryFormat format = MemoryFormat::contiguous) const;  ///< itself if already so
  Tensor clone() const;                                       ///< dense, same memory format
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;
  /// Writes `source` (broadcastable to this shape, any dtype) into this tensor.
  void copy_from(const Tensor& source);
  void fill(double value);

  const void* raw() const;  ///< first element; a device pointer on CUDA
  void* mutable_raw();      ///< bumps the version
  /// Throws DTypeError when T is not the dtype.
  template <class T>
  const T* data() const {
    check_dtype(dtype_v<T>);
    return static_cast<const T*>(raw());
  }
  template <class T>
  T* mutable_data() {
    check_dtype(dtype_v<T>);
    return static_cast<T*>(mutable_raw());
  }
  /// The only element of a one-element tensor, as a double; waits for the device.
  double item() const;
  /// All elements in row-major order, converted; waits for the device. For tests and small things.
  std::vector<double> to_vector() const;

  // The tape (room autograd implements these).
  bool requires_grad() const;
  /// Makes this a leaf that collects a gradient. Throws DTypeError unless floating.
  Tensor& set_requires_grad(bool on = true);
  const Tensor& grad() const;  ///< undefined until a backward pass reached this leaf
  /// The buffer later backward passes add to (same shape; any floating dtype).
  void set_grad(Tensor gradient);
  /// Runs the tape from this tensor: one element, or with `gradient` of its shape.
  void backward(const Tensor& gradient = {}) const;
  const std::shared_ptr<autograd::Meta>& autograd_meta() const;
  void set_autograd_meta(std::shared_ptr<autograd::Meta> meta);

  /// True when both handles share one implementation.
  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  static Tensor from_bytes(const void* values, int64_t count, DType dtype, const Shape& shape);
  Tensor strided_view(const Shape& shape, const Strides& strides, int64_t offset) const;
  void check_dtype(DType wanted) const;
  const Impl& impl() const;
  std::shared_ptr<Impl> impl_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Same shape, dtype, device and (dense) memory format as `like`; elements not set.
SING_API Tensor empty_like(const Tensor& like);
SING_API Tensor zeros_like(const Tensor& like);
/// "f32 (8, 197, 384)", for messages.
SING_API std::string describe(const Tensor& tensor);

}  // namespace sing
