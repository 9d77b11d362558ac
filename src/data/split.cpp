#include "sing/data/split.h"

#include <string>

#include "sing/core/error.h"

namespace sing::data {

std::string_view name_of(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::val:
      return "val";
    case Split::test:
      return "test";
  }
  return "?";
}

Split split_from_name(std::string_view name) {
  for (const Split split : {Split::train, Split::val, Split::test})
    if (name == name_of(split)) return split;
  throw ConfigError("unknown split '" + std::string(name) + "'", {},
                    "the splits are train, val and test", "E0263");
}

}  // namespace sing::data
