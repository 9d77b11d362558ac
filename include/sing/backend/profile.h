#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sing/core/device.h"
#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/shape.h"

// Where the time of a thread goes: ops by their OpScope, phases by ProfileScope, and each launch.
namespace sing::backend {

/// Bytes that are moved and operations (a multiply-add is two) of products, convolutions and
/// attention. All zero: not known.
struct Work {
  int64_t read = 0, written = 0;
  double flops = 0;
  bool known() const { return read > 0 || written > 0 || flops > 0; }
};

/// A kernel, a call of a library, a copy or a fill; on the CPU a call of a kernel slot by an op.
/// On a device the time between an event right before it and one right behind it: its own, if the
/// host was ahead of the device; else it begins with the wait for the host to start it. Work is
/// what the launch itself said, else that of the operands where the op ran nothing else on them.
struct ProfileLaunch {
  std::string name;
  int span = -1;   ///< index of the innermost op or phase around it; -1: none
  int stream = 0;  ///< 0 computes, 1 copies beside it
  double begin = 0, end = 0;
  Work work;
};

/// One op or phase. Times in seconds since the profile began; those of the device reach from the
/// begin of its first launch on stream 0 to the end of its last, with the gaps in between (both 0:
/// it launched nothing). On the CPU they are the host's.
struct ProfileSpan {
  const char* name;
  const char* layer = nullptr;  ///< it belongs to
  int parent = -1;              ///< index of the span around it
  double begin = 0, end = 0;
  double device_begin = 0, device_end = 0;
  /// Bytes of the operands, each counted once and as a whole, however often a kernel touches them.
  /// What is added to counts as written only.
  Work work;
  std::string operands;  ///< "f32 (8, 64, 384), ..."; results behind "->"
};

struct ProfileRecord {
  std::vector<ProfileSpan> spans;       ///< in order of their beginning
  std::vector<ProfileLaunch> launches;  ///< in order of their end on the host
  /// Of a device: what an interval around a fill of 256 bytes measures, in seconds.
  double shortest = 0;
};

/// Takes down what this thread does while it lives. One at a time on a thread.
class SING_API Profile {
 public:
  explicit Profile(Device device);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  /// Ends it: waits for the device.
  ProfileRecord finish();
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
SING_API void note_flops(double flops);
/// What the next launch of this thread does, by those who know.
SING_API void note_work(const Work& work);
/// Right before and right behind what is queued on a stream (by its number). What throws in between
/// leaves no launch.
SING_API void begin_launch(int stream);
SING_API void end_launch(std::string name, const Work& work = {});

}  // namespace sing::backend
