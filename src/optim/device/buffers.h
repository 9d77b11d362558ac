#pragma once
// Memory of a device step: pinned staging in turn, and plain arrays on the device.
#include <cuda_runtime.h>

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cuda/backend.h"
#include "sing/backend/memory.h"
#include "sing/tensor/tensor.h"

namespace sing::optim {

/// Host memory the device copies from and to by itself.
class Pinned {
 public:
  explicit Pinned(size_t bytes) {
    cuda::check(cudaHostAlloc(&data_, bytes == 0 ? 1 : bytes, cudaHostAllocDefault),
                "pinning memory");
    std::memset(data_, 0, bytes);
  }
  ~Pinned() { cudaFreeHost(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  void* data_ = nullptr;
};

/// Buffers used in turn; each is written again only when the copies queued from it are done.
class PinnedRing {
 public:
  explicit PinnedRing(size_t bytes) {
    for (Slot& slot : slots_) {
      slot.memory = std::make_unique<Pinned>(bytes);
      cuda::check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming),
                  "making an event");
    }
  }
  ~PinnedRing() {
    for (Slot& slot : slots_) {
      cudaEventSynchronize(slot.copied);
      cudaEventDestroy(slot.copied);
    }
  }
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  /// The next buffer, free to be written.
  char* next() {
    at_ = (at_ + 1) % slots_.size();
    if (slots_[at_].used) cuda::check(cudaEventSynchronize(slots_[at_].copied), "a copy");
    return data();
  }
  char* data() const { return slots_[at_].memory->data(); }
  /// Queues the copy of `bytes` from `offset` of the buffer at hand.
  void copy(char* to, size_t offset, size_t bytes, Stream stream) {
    if (bytes == 0) return;
    cuda::launching(stream);
    cuda::check(cudaMemcpyAsync(to + offset, data() + offset, bytes, cudaMemcpyHostToDevice,
                                cuda::native(stream)),
                "a copy");
    cuda::launched(stream, [bytes] {
      return cuda::Described{"copy host to device", {.written = static_cast<int64_t>(bytes)}};
    });
    cuda::check(cudaEventRecord(slots_[at_].copied, cuda::native(stream)), "marking a copy");
    slots_[at_].used = true;
  }

 private:
  struct Slot {
    std::unique_ptr<Pinned> memory;
    cudaEvent_t copied = nullptr;
    bool used = false;
  };
  std::array<Slot, 4> slots_;
  size_t at_ = 0;
};

/// `count` objects in device memory, zero at first.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(size_t count, Device device) {
    const backend::MemoryScope memory(backend::MemoryPurpose::optimizer);
    bytes_ = Tensor::zeros({static_cast<int64_t>(count * sizeof(T))},
                           {.dtype = DType::u8, .device = device});
  }
  DeviceArray(const std::vector<T>& values, Device device) : DeviceArray(values.size(), device) {
    if (values.empty()) return;
    cuda::check(cudaMemcpyAsync(data(), values.data(), values.size() * sizeof(T),
                                cudaMemcpyHostToDevice, cuda::native({})),
                "a copy");
    cuda::check(cudaStreamSynchronize(cuda::native({})), "a copy");
  }
  T* data() const {
    return bytes_.defined() ? static_cast<T*>(const_cast<void*>(bytes_.raw())) : nullptr;
  }

 private:
  Tensor bytes_;
};

}  // namespace sing::optim
