#include "sing/backend/runtime.h"

#include <array>
#include <atomic>
#include <mutex>

#include "backend/cpu/cpu_runtime.h"
#include "backend/plugin_loader.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

// Read for every tensor, hence no lock around it.
std::atomic<DeviceRuntime*>& runtime_of(DeviceType type) {
  static std::array<std::atomic<DeviceRuntime*>, kDeviceTypes> table = {&cpu::cpu_runtime(),
                                                                        nullptr};
  return table[static_cast<size_t>(type)];
}

BackendState load(DeviceType device) {
  if (runtime_of(device).load()) return {.usable = true, .reason = {}, .library = {}};
  const Plugin plugin = find_plugin(device);
  if (plugin.state.usable) register_runtime(device, plugin.runtime);
  return plugin.state;
}

}  // namespace

DeviceRuntime::~DeviceRuntime() = default;

void DeviceRuntime::select(int) {}

size_t DeviceRuntime::granted(size_t bytes) const {
  return bytes;
}

const BackendState& backend_state(DeviceType device) {
  static std::array<std::once_flag, kDeviceTypes> tried;
  static std::array<BackendState, kDeviceTypes> states;
  const auto i = static_cast<size_t>(device);
  std::call_once(tried[i], [&] { states[i] = load(device); });
  return states[i];
}

DeviceRuntime& runtime(Device device) {
  if (DeviceRuntime* found = runtime_of(device.type).load(std::memory_order_acquire)) {
    if (device.type != DeviceType::cpu) found->select(device.index);
    return *found;
  }
  const BackendState& state = backend_state(device.type);
  if (!state.usable)
    throw DeviceError(to_string(device) + " is not usable: " + state.reason, {},
                      "device: cpu works everywhere");
  DeviceRuntime& opened = *runtime_of(device.type).load(std::memory_order_acquire);
  opened.select(device.index);
  return opened;
}

void register_runtime(DeviceType type, DeviceRuntime* runtime) {
  runtime_of(type).store(runtime, std::memory_order_release);
}

}  // namespace sing::backend
