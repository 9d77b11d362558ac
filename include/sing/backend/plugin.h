#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/backend/runtime.h"
#include "sing/core/export.h"

// How an optional backend joins a running program. libsing and the programs never link it: it is a
// shared library, libsing_<device>.so, that links libsing, is opened at the first use of its device
// and stays open until the process ends. A machine without it, or without the driver it needs, is
// a state with a sentence, not a crash.
namespace sing::backend {

/// Goes up whenever something a plugin was compiled against changes its layout or meaning: the
/// table below, Registrar, DeviceRuntime, KernelSlot, any argument struct in kernels/, Error.
inline constexpr uint32_t kBackendAbi = 8;

/// Collects what a plugin offers. Nothing reaches the slots before the plugin's add() has
/// succeeded, so a backend that fails half way leaves no trace.
class SING_API Registrar {
 public:
  explicit Registrar(DeviceType device) : device_(device) {}
  /// The device this plugin was opened for.
  DeviceType device() const { return device_; }
  /// The kernel of `slot` on this device. It may throw anything derived from sing::Error.
  template <class Args>
  void kernel(KernelSlot<Args>& slot, typename KernelSlot<Args>::Kernel function) {
    pending_.push_back([&slot, function, device = device_] { slot.set(device, function); });
  }
  /// Memory, copies and streams of the device; lives until the process ends. Required.
  void runtime(DeviceRuntime* runtime) { runtime_ = runtime; }

  DeviceRuntime* collected_runtime() const { return runtime_; }
  /// Fills the slots; by the loader, once.
  void commit() const {
    for (const auto& fill_slot : pending_) fill_slot();
  }

 private:
  DeviceType device_;
  std::vector<std::function<void()>> pending_;
  DeviceRuntime* runtime_ = nullptr;
};

/// What became of a device's backend. `reason` is one sentence and empty when usable; `library` is
/// the file that was opened, empty when none was found or none is needed.
struct BackendState {
  bool usable = false;
  std::string reason;
  std::string library;
};

/// Looks for the backend at the first call and remembers the answer. Never throws for a backend
/// that is missing, broken or without a device. Thread-safe. Searched, the first file that exists
/// decides: SING_BACKEND_PATH (a file or a folder; when set, nothing else is looked at), the folder
/// of libsing, ../lib beside the executable. A backend that was linked into libsing
/// (SING_CUDA_LINK=builtin) comes right behind SING_BACKEND_PATH.
SING_API const BackendState& backend_state(DeviceType device);

}  // namespace sing::backend

/// What a plugin hands out: plain C, grown at the end only. The functions return null for success,
/// else one sentence in the user's words whose memory stays valid; they must not throw.
struct SingBackendTable {
  uint32_t size;                    ///< sizeof(SingBackendTable) as the plugin saw it
  uint32_t abi;                     ///< sing::backend::kBackendAbi as the plugin saw it
  const char* (*probe)() noexcept;  ///< is there a device that can be used?
  const char* (*add)(sing::backend::Registrar* registrar) noexcept;
};

/// The one symbol a plugin exports. Returns null when it cannot serve a host of this ABI; called
/// before anything else of the plugin, since nothing else can be relied on until it has answered.
extern "C" SING_API const SingBackendTable* sing_backend_entry(uint32_t host_abi);
