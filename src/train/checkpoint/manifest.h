#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sing/core/json.h"
#include "sing/core/result.h"

namespace sing::train {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kManifestFile = "manifest.json";

struct ManifestFile {
  uint64_t bytes = 0;
  std::string sha256;
  std::map<std::string, std::string> tensors;  // CRC-32C in eight hexadecimal digits
};

struct Manifest {
  int64_t step = 0;
  std::optional<double> score;
  std::map<std::string, ManifestFile> files;
};

std::string crc_text(uint32_t crc);

/// One line of JSON whose last member is the checksum of everything before it.
std::string to_text(const Manifest& manifest);
/// The reverse; any changed, missing or extra byte is a fault.
Result<Manifest> read_manifest(std::string_view text);

}  // namespace sing::train
