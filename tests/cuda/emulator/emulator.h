#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sing::emulator {

/// Runs `body` for every thread of every block, one block after the other.
void run_kernel(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body);

/// Ends the process with "emulator: <what>" and the thread, block and op it happened in.
[[noreturn]] void fail(const char* what);

// math.cpp
/// Functions of the device are from now on as SING_EMULATOR_MATH says, until the kernel has run.
class DeviceMath {
 public:
  DeviceMath();
  ~DeviceMath();
  DeviceMath(const DeviceMath&) = delete;
  DeviceMath& operator=(const DeviceMath&) = delete;
};

/// Device memory can be touched while one of these lives; at all other times a touch is a crash
/// with a sentence, as on a machine with a device.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

// memory.cpp
/// What the device claims to have: SING_EMULATOR_MEMORY bytes, else 2 GiB.
size_t device_memory();
/// Reports device memory, shared memory and stacks that a touch has left (SIGSEGV) and indices
/// beyond their arrays (SIGILL), then hands the signal on to who had it before.
void watch_faults();
/// Whether `address` lies where a kernel's thread has used up its stack.
bool in_stack_guard(const void* address);

/// Whether `address` lies in device memory.
bool is_device_memory(const void* address);

// pinned.cpp
/// What queued work does with a block of pinned memory.
struct PinnedUse {
  char* block;
  bool written;
};
/// Nothing where `address` is not pinned.
std::optional<PinnedUse> pinned_use(const void* address, bool written);
void begin_use(const PinnedUse& use);
void end_use(const PinnedUse& use);
/// The device's own access while it lives.
class PinnedAccess {
 public:
  explicit PinnedAccess(const std::vector<PinnedUse>& uses);
  ~PinnedAccess();
  PinnedAccess(const PinnedAccess&) = delete;
  PinnedAccess& operator=(const PinnedAccess&) = delete;

 private:
  const std::vector<PinnedUse>& uses_;
};
/// The sentence for a fault at `address`, or nullptr.
const char* broken_rule_of_pinned(const void* address);

// streams.cpp
/// The op that the work at hand was queued for, or nullptr.
const char* op_of_work();
/// Calls `free` when all that is queued now is done.
void when_done(std::function<void()> free);

// runtime.cpp
/// While a graph is captured: taking or giving back memory would break it.
bool memory_is_frozen();
/// Once a kernel has failed (SING_EMULATOR_FAIL_AT) every call returns its error.
cudaError_t dead();

// threads.cpp
/// SING_EMULATOR_SEED, 1 without it.
uint64_t seed();
uint64_t mix(uint64_t x);

// shared.cpp
/// `bytes` that end at a page nobody may touch, as near as an alignment of 16 allows.
void* shared_memory(size_t bytes);
bool in_shared_guard(const void* address);
/// Makes all shared memory hold nothing (NaN). The static part of every kernel is one piece:
/// `all_of_it` is for once or twice a launch.
void poison_shared(size_t dynamic, bool all_of_it);

}  // namespace sing::emulator
