#pragma once
#include <string>
#include <vector>

#include "sing/config/value.h"

namespace sing::config {

/// One key on which two configs differ, with the values as one line each, "" where there is none.
struct Difference {
  std::string path;  ///< "data.batch_size"
  std::string before, after;
};

/// What differs between two complete trees (from to_value), in the order of the first. A component
/// with another name is one difference at its key, with the names as values: what its options were
/// says nothing about the new one. The same for lists of another length.
SING_API std::vector<Difference> differences(const Value& before, const Value& after);

}  // namespace sing::config
