#include "sing/backend/runtime.h"

#include <array>

#include "backend/cpu/cpu_runtime.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

std::array<DeviceRuntime*, kDeviceTypes>& runtimes() {
  static std::array<DeviceRuntime*, kDeviceTypes> table = {&cpu::cpu_runtime(), nullptr};
  return table;
}

}  // namespace

DeviceRuntime::~DeviceRuntime() = default;

DeviceRuntime& runtime(Device device) {
  DeviceRuntime* found = runtimes()[static_cast<size_t>(device.type)];
  if (found == nullptr)
    throw DeviceError(to_string(device) + " is not usable: no backend for it is loaded");
  return *found;
}

void register_runtime(DeviceType type, DeviceRuntime* runtime) {
  runtimes()[static_cast<size_t>(type)] = runtime;
}

}  // namespace sing::backend
