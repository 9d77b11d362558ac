#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "sing/core/device.h"
#include "sing/core/export.h"

namespace sing::backend {

/// Which CPU kernels a slot may use. `reference` is the plain version only (tests compare with it);
/// `automatic` tries the fast ones first; with `none` a call of a slot does nothing (rehearsal.h).
enum class KernelPath { automatic, reference, none };

SING_API KernelPath kernel_path();
/// Chooses the path for this thread while it lives. Slots are called from the thread that calls the
/// op, so a guard there covers everything below it.
class SING_API KernelPathGuard {
 public:
  explicit KernelPathGuard(KernelPath path);
  ~KernelPathGuard();
  KernelPathGuard(const KernelPathGuard&) = delete;
  KernelPathGuard& operator=(const KernelPathGuard&) = delete;

 private:
  KernelPath before_;
};

/// The untyped part: a name and what is filled in, for listings ("registered = checked").
class SING_API SlotBase {
 public:
  using AnyKernel = void (*)();
  struct Fast {
    AnyKernel kernel = nullptr;  // really bool (*)(const Args&)
    int priority = 0;
    const char* name = nullptr;
  };

  constexpr explicit SlotBase(const char* name) : name_(name) {}
  const char* name() const { return name_; }
  bool has(DeviceType device) const { return kernels_[static_cast<size_t>(device)] != nullptr; }
  std::vector<std::string> fast_names() const;
  /// Calls since the start of the program, and how many of them a fast kernel served: tests see
  /// with these that a kernel was really exercised.
  int64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  int64_t fast_calls() const { return fast_calls_.load(std::memory_order_relaxed); }
  /// Every slot that has at least one kernel, sorted by name.
  static std::vector<const SlotBase*> all();

 protected:
  static constexpr size_t kMaxFast = 6;
  void set_raw(DeviceType device, AnyKernel kernel);
  void add_fast_raw(AnyKernel kernel, int priority, const char* name);
  [[noreturn]] void missing(DeviceType device) const;
  /// A call on the CPU, as a launch of a profile; false, at the cost of a call: nobody wants it.
  static bool begin_profiled();
  void end_profiled(const char* implementation) const;

  const char* name_;
  std::array<AnyKernel, kDeviceTypes> kernels_{};
  std::array<Fast, kMaxFast> fast_{};  // best first
  size_t fast_count_ = 0;
  bool listed_ = false;
  mutable std::atomic<int64_t> calls_{0}, fast_calls_{0};
};

/// A typed function pointer per device type. `Args` is one plain struct of pointers, sizes, dtypes
/// and stream (kernels/*.h). On the CPU the plain reference kernel must accept every argument the
/// op can send; fast kernels come before it, highest priority first; each returns false when it
/// does not serve these arguments (dtype, layout, size), having written nothing. Filled by static
/// initialisers and by loading a plugin; read-only afterwards.
template <class Args>
class KernelSlot : public SlotBase {
 public:
  using Kernel = void (*)(const Args&);
  using FastKernel = bool (*)(const Args&);
  constexpr explicit KernelSlot(const char* name) : SlotBase(name) {}

  bool set(DeviceType device, Kernel kernel) {
    set_raw(device, reinterpret_cast<AnyKernel>(kernel));
    return true;
  }
  /// Suggested priorities: 300 avx512, 200 avx2, 50 library kernels of portable use.
  bool add_fast(FastKernel kernel, int priority, const char* implementation) {
    add_fast_raw(reinterpret_cast<AnyKernel>(kernel), priority, implementation);
    return true;
  }
  /// Throws NotImplementedError that names the op and the device when nothing is registered.
  void operator()(DeviceType device, const Args& args) const {
    const KernelPath path = kernel_path();
    if (path == KernelPath::none) return;
    calls_.fetch_add(1, std::memory_order_relaxed);
    const bool profiled = device == DeviceType::cpu && begin_profiled();
    if (device == DeviceType::cpu && path == KernelPath::automatic) {
      for (size_t i = 0; i < fast_count_; ++i)
        if (reinterpret_cast<FastKernel>(fast_[i].kernel)(args)) {
          fast_calls_.fetch_add(1, std::memory_order_relaxed);
          if (profiled) end_profiled(fast_[i].name);
          return;
        }
    }
    const auto kernel = reinterpret_cast<Kernel>(kernels_[static_cast<size_t>(device)]);
    if (kernel == nullptr) missing(device);
    kernel(args);
    if (profiled) end_profiled("reference");
  }
};

/// In a header: the slot exists. In exactly one .cpp: SING_DEFINE_SLOT.
#define SING_DECLARE_SLOT(NAME, ARGS) extern SING_API ::sing::backend::KernelSlot<ARGS> NAME;
#define SING_DEFINE_SLOT(NAME, ARGS) constinit ::sing::backend::KernelSlot<ARGS> NAME{#NAME};

#define SING_CONCAT_INNER(a, b) a##b
#define SING_CONCAT(a, b) SING_CONCAT_INNER(a, b)
/// At namespace scope in the kernel's .cpp.
#define SING_REFERENCE_KERNEL(SLOT, FUNCTION)                                \
  [[maybe_unused]] static const bool SING_CONCAT(registered_, __COUNTER__) = \
      SLOT.set(::sing::DeviceType::cpu, FUNCTION);
#define SING_FAST_KERNEL(SLOT, FUNCTION, PRIORITY, NAME)                     \
  [[maybe_unused]] static const bool SING_CONCAT(registered_, __COUNTER__) = \
      SLOT.add_fast(FUNCTION, PRIORITY, NAME);

}  // namespace sing::backend
