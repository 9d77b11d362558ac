#include "sing/backend/runtime.h"

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <new>

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

/// What this thread has selected: libraries of devices keep a current device for each thread.
struct Selected {
  const DeviceRuntime* runtime = nullptr;
  int index = -1;
};
thread_local std::array<Selected, kDeviceTypes> t_selected;

void select(DeviceRuntime& runtime, Device device) {
  Selected& selected = t_selected[static_cast<size_t>(device.type)];
  if (selected.runtime == &runtime && selected.index == device.index) return;
  runtime.select(device.index);
  selected = {&runtime, device.index};
}

BackendState load(DeviceType device) {
  if (runtime_of(device).load()) return {.usable = true, .reason = {}, .library = {}};
  const Plugin plugin = find_plugin(device);
  if (plugin.state.usable) register_runtime(device, plugin.runtime);
  return plugin.state;
}

}  // namespace

DeviceRuntime::~DeviceRuntime() = default;
StreamMark::~StreamMark() = default;
Replay::~Replay() = default;

void DeviceRuntime::select(int) {}
void DeviceRuntime::allow_any_order(bool) {}

size_t DeviceRuntime::granted(size_t bytes) const {
  return bytes;
}

namespace {

/// For devices whose work is done when a call returns.
class MarkOfDoneWork final : public StreamMark {
 public:
  void record(Stream) override { time_ = Clock::now(); }
  void hold(Stream) override {}
  void wait() override {}
  double seconds_since(const StreamMark& earlier) const override {
    return std::chrono::duration<double>(time_ - static_cast<const MarkOfDoneWork&>(earlier).time_)
        .count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point time_;
};

}  // namespace

void* DeviceRuntime::allocate_host(size_t bytes) {
  return ::operator new (bytes, std::align_val_t{256});
}
void DeviceRuntime::release_host(void* memory) noexcept {
  ::operator delete (memory, std::align_val_t{256});
}
std::unique_ptr<StreamMark> DeviceRuntime::mark(bool) {
  return std::make_unique<MarkOfDoneWork>();
}
bool DeviceRuntime::can_capture() const {
  return false;
}
int64_t DeviceRuntime::capacity() const {
  return 0;
}
std::unique_ptr<Replay> DeviceRuntime::capture(const std::function<void()>&, const uint64_t*) {
  throw NotImplementedError("this device does not capture work");
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
    if (device.type != DeviceType::cpu) select(*found, device);
    return *found;
  }
  const BackendState& state = backend_state(device.type);
  if (!state.usable)
    throw DeviceError(to_string(device) + " is not usable: " + state.reason, {},
                      "device: cpu works everywhere");
  DeviceRuntime& opened = *runtime_of(device.type).load(std::memory_order_acquire);
  select(opened, device);
  return opened;
}

void register_runtime(DeviceType type, DeviceRuntime* runtime) {
  runtime_of(type).store(runtime, std::memory_order_release);
}

}  // namespace sing::backend
