#pragma once
#include <cstdint>
#include <string>

#include "sing/backend/profile.h"

namespace sing::train {

/// What this device reaches when it does nothing else, measured right before a profile in the same
/// process.
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

/// In the trace event format that Perfetto and chrome://tracing open. Rows: the host's spans; those
/// of a device; its launches, each under its op; what runs on the copy stream beside them. On the
/// CPU: spans, and below them calls of kernel slots.
SING_API std::string profile_trace(const backend::ProfileRecord& record, const ProfileHead& head);

/// Two tables for people, by time. Launches by op and name: how often and how long a step, bytes
/// and operations of one, rates and how much of the ceilings that is, over those of which they are
/// known. Ops by the time they take themselves, without the ops inside them, of each phase.
SING_API std::string profile_table(const backend::ProfileRecord& record, const ProfileHead& head);

}  // namespace sing::train
