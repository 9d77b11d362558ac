#pragma once
// Which devices a list of architectures, as given to CMAKE_CUDA_ARCHITECTURES, serves.
#include <cstdlib>
#include <string>
#include <string_view>

namespace sing::cuda {

/// Whether a device of compute capability `major`.`minor` runs code for one architecture: machine
/// code ("90-real") on its own major version from its minor one on; code of the virtual machine
/// ("90", "90-virtual") on everything newer as well; code with a letter ("90a") on that one alone,
/// or, with an f, within its major version.
inline bool runs_one(std::string_view architecture, int major, int minor) {
  if (architecture == "all" || architecture == "all-major") return true;
  const int number = std::atoi(std::string(architecture).c_str()), device = 10 * major + minor;
  const bool real = architecture.ends_with("-real");
  const std::string_view plain = architecture.substr(0, architecture.find('-'));
  if (plain.ends_with('a')) return device == number;
  const bool same_major = number / 10 == major && device >= number;
  return same_major || (!real && !plain.ends_with('f') && device >= number);
}

/// `list`: architectures with commas between them.
inline bool runs_on(std::string_view list, int major, int minor) {
  while (!list.empty()) {
    const size_t end = list.find(',');
    if (runs_one(list.substr(0, end), major, minor)) return true;
    list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
  }
  return false;
}

}  // namespace sing::cuda
