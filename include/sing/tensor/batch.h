#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/tensor/tensor.h"

namespace sing {

/// Named tensors that travel together from the loader to the model, the loss and the metrics.
/// "inputs" and "targets" are always there when a data set made it; other names are what its
/// metrics need. The first dimension counts samples; tensors of rank 0 belong to the whole batch.
/// Copying shares the tensors. A batch from a loader is overwritten by the next one.
class SING_API Batch {
 public:
  Batch() = default;
  Batch(std::initializer_list<NamedTensor> entries) : entries_(entries) {}

  /// Adds a tensor or replaces the one of that name.
  void set(std::string_view name, Tensor tensor);
  /// nullptr when there is none.
  const Tensor* find(std::string_view name) const;
  /// Throws ShapeError that lists the names there are.
  const Tensor& at(std::string_view name) const;
  const Tensor& inputs() const { return at("inputs"); }
  const Tensor& targets() const { return at("targets"); }
  std::span<const NamedTensor> entries() const { return entries_; }
  /// Samples: the first dimension of the first entry that has one; 0 for an empty batch.
  int64_t size() const;

  /// Samples first .. first + count - 1, as views.
  Batch narrow(int64_t first, int64_t count) const;
  Batch to(Device device) const;

 private:
  std::vector<NamedTensor> entries_;
};

}  // namespace sing
