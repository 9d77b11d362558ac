#pragma once
#include <cuda_runtime.h>

#include <functional>

namespace sing::emulator {

/// Runs `body` for every thread of every block, one block after the other.
void run_kernel(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body);

/// Ends the process with "emulator: <what>" and the thread, block and op it happened in.
[[noreturn]] void fail(const char* what);

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

// runtime.cpp
/// While a graph is captured: taking or giving back memory would break it.
bool memory_is_frozen();

// shared.cpp
/// `bytes` that end at a page nobody may touch, as near as an alignment of 16 allows.
void* shared_memory(size_t bytes);
bool in_shared_guard(const void* address);
/// Makes all shared memory hold nothing (NaN). The static part of every kernel is one piece:
/// `all_of_it` is for once or twice a launch.
void poison_shared(size_t dynamic, bool all_of_it);

}  // namespace sing::emulator
