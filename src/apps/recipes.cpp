#include "apps/recipes.h"

#include "sing/core/error.h"
#include "sing/core/file_system.h"

namespace sing::apps {
namespace {

constexpr uint64_t kLimit = 1 << 20;

std::string program_folder() {
  const auto link = posix_file_system().readlink("/proc/self/exe");
  return link.ok() ? folder_of(link.value()) : ".";
}

/// The first comment line that is no directive for editors.
std::string title_of(const std::string& path) {
  const auto bytes = try_read_file(posix_file_system(), path, kLimit);
  if (!bytes.ok()) return {};
  std::string_view text = bytes.value().text();
  while (text.starts_with('#')) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(1, end - 1);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (!line.empty() && !line.starts_with("yaml-language-server")) return std::string(line);
  }
  return {};
}

}  // namespace

std::vector<Recipe> recipes() {
  FileSystem& files = posix_file_system();
  const std::string here = program_folder();
  for (const std::string& folder :
       {std::string("configs"), here + "/../share/sing/configs", here + "/../configs"}) {
    const auto names = files.list(folder);
    if (!names.ok()) continue;
    std::vector<Recipe> found;
    for (const std::string& name : names.value()) {
      if (!name.ends_with(".yaml")) continue;
      const std::string path = folder + "/" + name;
      found.push_back({name.substr(0, name.size() - 5), path, title_of(path)});
    }
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace sing::apps
