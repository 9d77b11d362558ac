#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sing::testing {

/// A folder that goes away with the test, and a writer of small files in it.
class ConfigFolder {
 public:
  ConfigFolder() {
    static int count = 0;
    root_ = std::filesystem::temp_directory_path() /
            ("sing-config-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(root_);
  }
  ~ConfigFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  ConfigFolder(const ConfigFolder&) = delete;
  ConfigFolder& operator=(const ConfigFolder&) = delete;

  /// The path of the file written.
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(path);  // some file systems flush a file that is cut to be written anew
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  std::string path(const std::string& name) const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

}  // namespace sing::testing
