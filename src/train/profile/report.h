#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "sing/backend/profile.h"

namespace sing::train {

/// What this device reaches when it does nothing else, measured right before a profile.
struct Ceilings {
  double copy = 0;     ///< bytes a second, read and written
  double product = 0;  ///< floating-point operations a second of a square matrix product
  std::string dtype;   ///< of the product
};

/// Copies and products of growing size, until one takes a few milliseconds.
SING_API Ceilings measure_ceilings(Device device, DType dtype);

struct ProfileHead {
  Device device;
  std::string description;
  int64_t first_step = 0, steps = 0;
  Ceilings ceilings;
};

/// In the trace event format that Perfetto and chrome://tracing open: the host's spans in one row,
/// those of a device, and its launches, in rows of their own.
SING_API std::string profile_trace(const std::vector<backend::ProfileSpan>& spans,
                                   const ProfileHead& head);

/// Ops by the time they take themselves, without the ops inside them, of each phase: calls and
/// milliseconds a step, share, bytes and operations a second and how much of the ceilings that is.
SING_API std::string profile_table(const std::vector<backend::ProfileSpan>& spans,
                                   const ProfileHead& head);

}  // namespace sing::train
