#pragma once
#include <string>
#include <vector>

namespace sing::apps {

/// The shipped configs: beside the program (../share/sing/configs), or configs/ here or above the
/// build folder. Name (stem) and path, sorted; empty when there are none.
struct Recipe {
  std::string name, path, title;
};
std::vector<Recipe> recipes();

}  // namespace sing::apps
