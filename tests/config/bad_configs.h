#pragma once
#include <string>
#include <vector>

namespace sing::config::example {

/// A faulty config: the text behind `version: 1` and `model: mlp` (unless it says `whole`), the
/// code and the place that must be reported.
struct BadConfig {
  const char* text;
  const char* code;
  int line, column;
  bool schema_sees = true;  ///< also refused by the JSON Schema
  bool whole = false;
};

std::vector<BadConfig> bad_configs();

/// The whole text of a case; its own lines start at line 3.
std::string text_of(const BadConfig& bad);

}  // namespace sing::config::example
