#pragma once
#include <string>

#include "sing/backend/profile.h"

namespace sing::train {

/// The outermost span around number `span`, itself if there is none; "" for -1.
inline std::string phase_of(const backend::ProfileRecord& record, int span) {
  if (span < 0) return {};
  while (record.spans[static_cast<size_t>(span)].parent >= 0)
    span = record.spans[static_cast<size_t>(span)].parent;
  return record.spans[static_cast<size_t>(span)].name;
}

}  // namespace sing::train
