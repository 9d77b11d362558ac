#pragma once
#include <string>
#include <vector>

#include "sing/tensor/safetensors.h"

namespace sing {

/// A safetensors file whose values stay on disk until they are asked for; the header is checked as
/// SafetensorsFile checks it. One thread.
class SING_API SafetensorsReader {
 public:
  /// Throws DataError E0301 (not readable), E0320 (not a safetensors file we can trust).
  explicit SafetensorsReader(const std::string& path, FileSystem& files = posix_file_system(),
                             const SafetensorsLimits& limits = {});
  ~SafetensorsReader();
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<SafetensorsEntry>& tensors() const { return header_.tensors; }
  /// The values of one of tensors(), read now. Throws DataError E0301 when the file became shorter,
  /// E0320 for a BOOL other than 0 and 1, E0322 when the rank is above kMaxRank.
  Tensor read(const SafetensorsEntry& entry) const;

 private:
  void read_at(uint64_t place, std::span<std::byte> bytes) const;
  [[noreturn]] void refuse(const Fault& fault) const;

  FileSystem& files_;
  std::string path_;
  FileSystem::FileId file_ = -1;
  SafetensorsHeader header_;
};

}  // namespace sing
