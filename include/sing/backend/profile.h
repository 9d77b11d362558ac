#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/device.h"
#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/shape.h"

// Where the time of a thread goes: ops by their OpScope, phases by ProfileScope.
namespace sing::backend {

/// One op or phase. Times in seconds since the profile began; those of the device (its stream 0,
/// from events in it) are the host's on the CPU. What lies between two launches of one op counts as
/// its time: events see neither the kernels of a library call apart nor a gap inside an op.
struct ProfileSpan {
  const char* name;
  const char* layer = nullptr;  ///< it belongs to
  int parent = -1;              ///< index of the span around it
  double begin = 0, end = 0;
  double device_begin = 0, device_end = 0;
  std::vector<double> launches;  ///< device time at the end of each launch of this backend
  /// Of the operands, each counted once and as a whole, however often a kernel touches them. What
  /// is added to counts as written only.
  int64_t bytes_read = 0, bytes_written = 0;
  double flops = 0;      ///< multiply-adds times two of products, convolutions and attention
  std::string operands;  ///< "f32 (8, 64, 384), ..."; results behind "->"
};

/// Takes down what this thread does while it lives. One at a time on a thread.
class SING_API Profile {
 public:
  explicit Profile(Device device);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  /// Ends it: waits for the device. In order of their beginning.
  std::vector<ProfileSpan> finish();
  struct Recorder;

 private:
  std::unique_ptr<Recorder> recorder_;
};

/// A phase, such as "backward". `name` is a string literal.
class SING_API ProfileScope {
 public:
  explicit ProfileScope(const char* name);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;
};

/// Whether this thread is being profiled: the functions below do nothing otherwise.
SING_API bool profiling();
/// A span begins or ends; OpScope and ProfileScope call these.
void enter_span(const char* name);
void leave_span();
/// What the op at hand works on.
SING_API void note_operand(const void* data, const Shape& shape, DType dtype, bool written);
SING_API void note_flops(double flops);
/// Behind each launch of a kernel on stream 0.
SING_API void note_launch();

}  // namespace sing::backend
