#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

// What a step asks of a device, without one: SING_EMULATOR_TRACE=FILE appends a line for each
// launch, copy, fill and library call, SING_EMULATOR_DRY=1 does none of their work.
namespace sing::emulator {

/// Whether launches are taken down, with the bytes they touch: device memory is then opened page by
/// page, for reading first. What libraries would compute becomes zero.
bool tracing();
/// Whether nothing is run at all: memory is address space alone, and the device is said to have the
/// multiprocessors and the memory of an H200. Sizes may then be those of a real run.
bool dry();

/// One line of the trace, from its making to its end.
class Traced {
 public:
  /// `name` of what is not a kernel, else nullptr.
  Traced(const void* kernel, const char* name, dim3 blocks, dim3 threads, size_t shared);
  ~Traced();
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

 private:
  const void* kernel_;
  const char* name_;
  dim3 blocks_, threads_;
  size_t shared_;
};
/// Bytes of device memory that the launch at hand touches for the first time in this way.
void touched(size_t bytes, bool written);

/// A library call that is taken down instead of made. What it writes becomes zero, so that steps go
/// on as with finite numbers.
void trace_call(const char* name, double read, double written, double flops);
void zero_unless_dry(void* to, size_t bytes);

}  // namespace sing::emulator
