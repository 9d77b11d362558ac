#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sing/core/device.h"
#include "sing/core/export.h"

namespace sing::backend {

enum class CopyKind : uint8_t { host_to_host, host_to_device, device_to_host, device_to_device };

/// Counters of a device's allocator. A request is a call the operating system or driver has to
/// serve; in the steady state of a training loop `requests` does not change.
struct MemoryStatistics {
  int64_t in_use = 0;       ///< bytes handed out now
  int64_t peak = 0;         ///< highest in_use since reset_peak
  int64_t reserved = 0;     ///< bytes taken from the system
  int64_t requests = 0;     ///< calls to the system
  int64_t allocations = 0;  ///< calls to allocate
};

/// A place in the work of a stream, which others can wait for. Used again and again; one thread.
class SING_API StreamMark {
 public:
  virtual ~StreamMark();
  /// Behind everything queued on `stream` so far. Until the first one nobody waits for this mark.
  virtual void record(Stream stream) = 0;
  /// What is queued on `stream` from now on starts behind this mark.
  virtual void hold(Stream stream) = 0;
  /// Waits on the host.
  virtual void wait() = 0;
  /// Seconds of the device between `earlier` and this one; both timed and waited for.
  virtual double seconds_since(const StreamMark& earlier) const = 0;
};

/// Work that was captured instead of done, and is done at each launch. It owns the memory that was
/// allocated and given back during the capture.
class SING_API Replay {
 public:
  virtual ~Replay();
  virtual void launch() = 0;
  /// Kernels, copies and fills in it.
  virtual int64_t nodes() const = 0;
};

/// What a device offers besides kernels; the only virtual interface a backend implements.
/// Thread-safe.
class SING_API DeviceRuntime {
 public:
  virtual ~DeviceRuntime();
  /// Called before anything else is asked of device number `index`. Throws DeviceError when there
  /// is none, or when this process uses another one already.
  virtual void select(int index);
  /// Cached memory, aligned to 256 bytes. Throws OutOfMemoryError. bytes == 0 gives a valid
  /// pointer.
  virtual void* allocate(size_t bytes, Stream stream) = 0;
  virtual void release(void* memory, size_t bytes, Stream stream) noexcept = 0;
  virtual void copy(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) = 0;
  virtual void fill_zero(void* to, size_t bytes, Stream stream) = 0;
  virtual Stream stream(int index) = 0;
  virtual void synchronize(Stream stream) = 0;
  virtual MemoryStatistics memory() const = 0;
  virtual void reset_peak() = 0;
  /// One line: what the device is ("2 threads, avx512").
  virtual std::string description() const = 0;
  /// What `allocate(bytes)` counts as in use: at least `bytes`.
  virtual size_t granted(size_t bytes) const;

  /// Host memory that the device copies from and to while the host goes on. Throws
  /// OutOfMemoryError.
  virtual void* allocate_host(size_t bytes);
  virtual void release_host(void* memory) noexcept;
  virtual std::unique_ptr<StreamMark> mark(bool timed = false);
  /// False when capture() always throws.
  virtual bool can_capture() const;
  /// Calls `work`, which queues on stream 0, and keeps what it queues instead of doing it. Each
  /// launch reads the epoch of all random keys from `random_epoch` in device memory. Throws what
  /// `work` throws, and BackendError naming the op at which the device refused; nothing was done
  /// then, and the device is as before.
  virtual std::unique_ptr<Replay> capture(const std::function<void()>& work,
                                          const uint64_t* random_epoch);
  /// Whether libraries may choose algorithms that add in any order: faster, other bits on every
  /// run. Not allowed until this says so.
  virtual void allow_any_order(bool allowed);
  /// Bytes the device has for tensors; 0: not known.
  virtual int64_t capacity() const;
};

/// The runtime of a device. The first call for a device other than the CPU looks for its backend
/// (plugin.h). Throws DeviceError (E0250) with the reason when it is not usable.
SING_API DeviceRuntime& runtime(Device device);
/// Called by a backend when it starts. The runtime must outlive the last tensor.
SING_API void register_runtime(DeviceType type, DeviceRuntime* runtime);

/// The instruction-set level the CPU kernels use: "avx512", "avx2" or "base". SING_CPU_ISA lowers
/// it (for tests and comparisons).
SING_API const std::string& cpu_isa();
/// True when the processor multiplies bf16 natively (AMX tiles or AVX512_BF16).
SING_API bool cpu_has_bf16();
/// For tests of out-of-memory handling: the n-th allocation from now throws OutOfMemoryError (0:
/// never).
SING_API void fail_cpu_allocation(int64_t nth);
/// The most the CPU allocator takes from the system: what the machine (and its control group) has,
/// so that too large a run ends with an error instead of being killed. 0 sets it back to that.
SING_API int64_t cpu_memory_limit();
SING_API void limit_cpu_memory(int64_t bytes);

}  // namespace sing::backend
