#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sing/core/export.h"
#include "sing/core/result.h"

namespace sing::data {

/// Bytes in height, width, channel order. Channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
struct Image8 {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
  friend bool operator==(const Image8&, const Image8&) = default;
};

struct PngLimits {
  int64_t pixels = int64_t{64} << 20;
  int64_t side = 1 << 16;
};

/// Decodes a PNG of at most 8 bits a sample; palettes become RGB or RGBA. Samples come out as they
/// are stored: gamma and colour profiles are not applied. The size is checked before anything is
/// allocated. Chunks other than those that hold the picture are never looked into. 16-bit files
/// are refused, since halving their precision unasked would be a silent loss.
SING_API Result<Image8> decode_png(std::span<const std::byte> file, const PngLimits& limits = {});
/// Encodes 1 or 3 channels. Equal images give equal bytes. Throws ShapeError for other channels or
/// when pixels.size() is not height * width * channels.
SING_API std::vector<std::byte> encode_png(const Image8& image);

/// Throws DataError E0301, E0302 (not readable) or E0330 (not a PNG we take) with the path.
SING_API Image8 read_png(const std::string& path, const PngLimits& limits = {});
/// Writes a file atomically. Throws CheckpointError E0401, ShapeError.
SING_API void write_png(const std::string& path, const Image8& image);

}  // namespace sing::data
