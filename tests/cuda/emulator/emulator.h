#pragma once
#include <cuda_runtime.h>

#include <functional>

namespace sing::emulator {

/// Runs `body` for every thread of every block, one block after the other.
void run_kernel(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body);

/// Device memory can be touched while one of these lives; at all other times a touch is a crash
/// with a sentence, as on a machine with a device.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace sing::emulator
