#include "sing/tensor/batch.h"

#include <utility>

#include "sing/core/error.h"

namespace sing {

void Batch::set(std::string_view name, Tensor tensor) {
  for (NamedTensor& entry : entries_) {
    if (entry.name != name) continue;
    entry.tensor = std::move(tensor);
    return;
  }
  entries_.push_back({std::string(name), std::move(tensor)});
}

const Tensor* Batch::find(std::string_view name) const {
  for (const NamedTensor& entry : entries_)
    if (entry.name == name) return &entry.tensor;
  return nullptr;
}

const Tensor& Batch::at(std::string_view name) const {
  if (const Tensor* tensor = find(name)) return *tensor;
  std::string known;
  for (const NamedTensor& entry : entries_) known += (known.empty() ? "" : ", ") + entry.name;
  throw ShapeError("batch: no tensor is named '" + std::string(name) +
                   "'; there are: " + (known.empty() ? "none" : known));
}

int64_t Batch::size() const {
  for (const NamedTensor& entry : entries_)
    if (entry.tensor.rank() > 0) return entry.tensor.size(0);
  return 0;
}

Batch Batch::narrow(int64_t first, int64_t count) const {
  Batch part;
  for (const NamedTensor& entry : entries_)
    part.entries_.push_back({entry.name, entry.tensor.rank() == 0
                                             ? entry.tensor
                                             : entry.tensor.narrow(0, first, count)});
  return part;
}

Batch Batch::to(Device device) const {
  Batch moved;
  for (const NamedTensor& entry : entries_)
    moved.entries_.push_back({entry.name, entry.tensor.to(device)});
  return moved;
}

}  // namespace sing
