#include "sing/backend/runtime.h"
#include "sing/tensor/state_visitor.h"
#include "sing/tensor/tensor.h"

namespace sing {

StateVisitor::~StateVisitor() = default;

Storage::Storage(size_t bytes, Device device)
    : data_(backend::runtime(device).allocate(bytes, {})),
      bytes_(bytes),
      device_(device),
      owned_(true) {}

Storage::Storage(void* data, size_t bytes, Device device, std::shared_ptr<void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)), owned_(false) {}

Storage::~Storage() {
  if (owned_) backend::runtime(device_).release(data_, bytes_, {});
}

}  // namespace sing
