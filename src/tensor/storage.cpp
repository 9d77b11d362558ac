#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/tensor/state_visitor.h"
#include "sing/tensor/tensor.h"

namespace sing {

StateVisitor::~StateVisitor() = default;

namespace {

void book(Device device, uint8_t purpose, size_t bytes, int64_t sign) {
  const auto granted = static_cast<int64_t>(backend::runtime(device).granted(bytes));
  backend::book_memory(device.type, static_cast<backend::MemoryPurpose>(purpose), sign * granted);
}

}  // namespace

Storage::Storage(size_t bytes, Device device)
    : data_(backend::runtime(device).allocate(bytes, {})),
      bytes_(bytes),
      device_(device),
      purpose_(static_cast<uint8_t>(backend::memory_purpose())),
      owned_(true) {
  book(device, purpose_, bytes, 1);
}

Storage::Storage(void* data, size_t bytes, Device device, std::shared_ptr<void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)), owned_(false) {}

Storage::~Storage() {
  if (!owned_) return;
  backend::runtime(device_).release(data_, bytes_, {});
  book(device_, purpose_, bytes_, -1);
}

}  // namespace sing
