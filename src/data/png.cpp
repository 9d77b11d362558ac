#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "sing/core/atomic_file.h"
#include "sing/core/byte_reader.h"
#include "sing/core/shape.h"
#include "sing/core/utf8.h"
#include "sing/data/image_io.h"

namespace sing::data {
namespace {

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
constexpr uint64_t kFileLimit = uint64_t{1} << 30;

std::optional<uint32_t> big32(ByteReader& reader) {
  const auto value = reader.u32();
  if (!value) return std::nullopt;
  return __builtin_bswap32(*value);
}

struct Header {
  int64_t width = 0, height = 0;
};

// The first chunk: 13 bytes of size, depth and colour type.
std::optional<Fault> check_header(std::span<const std::byte> chunk, const PngLimits& limits,
                                  Header& header) {
  ByteReader reader(chunk);
  const auto width = big32(reader), height = big32(reader);
  const auto depth = reader.u8(), colour = reader.u8();
  if (!width || !height || !depth || !colour || chunk.size() != 13)
    return Fault{"the PNG header has the wrong length", 8};
  header.width = *width;
  header.height = *height;
  if (*width == 0 || *height == 0 || *width > 0x7fffffffu || *height > 0x7fffffffu)
    return Fault{"the PNG header has an impossible size", 16};
  if (header.width > limits.side || header.height > limits.side ||
      checked_numel(std::array{header.width, header.height}) > limits.pixels)
    return Fault{"the picture is " + std::to_string(*width) + " x " + std::to_string(*height) +
                     ", more than is allowed",
                 16};
  if (*depth == 16) return Fault{"the picture has 16 bits a sample; convert it to 8", 24};
  return std::nullopt;
}

// Copies the chunks that hold the picture. Leaving the rest out keeps compressed text and profiles
// (which can unpack to any size) and gamma (which would change the samples) away from the decoder.
Result<std::vector<std::byte>> picture_chunks(std::span<const std::byte> file,
                                              const PngLimits& limits, Header& header) {
  ByteReader reader(file);
  if (reader.text(8) != kSignature) return Fault{"not a PNG file", 0};
  std::vector<std::byte> kept(file.begin(), file.begin() + 8);
  for (bool first = true, data = false;; first = false) {
    const size_t start = reader.position();
    const auto length = big32(reader);
    const auto type = reader.text(4);
    const auto body = length ? reader.bytes(*length) : std::nullopt;
    const auto crc = body ? big32(reader) : std::nullopt;
    if (!type || !crc) return Fault{"the PNG file ends too early", file.size()};
    // The decoder stops when it has all pixels and then misses the checksum of the last chunk.
    const auto summed = file.subspan(start + 4, body->size() + 4);
    const auto* sum_begin = reinterpret_cast<const Bytef*>(summed.data());
    if (::crc32_z(0, sum_begin, summed.size()) != *crc)
      return Fault{"the PNG file is damaged: wrong checksum of a chunk", start};
    if (first != (*type == "IHDR")) return Fault{"the PNG header is not where it belongs", start};
    if (first) {
      if (auto fault = check_header(*body, limits, header)) return *std::move(fault);
    }
    data = data || *type == "IDAT";
    const bool wanted =
        *type == "IHDR" || *type == "PLTE" || *type == "tRNS" || *type == "IDAT" || *type == "IEND";
    if (wanted) {
      const auto chunk = file.subspan(start, reader.position() - start);
      kept.insert(kept.end(), chunk.begin(), chunk.end());
    } else if ((type->front() & 0x20) == 0) {
      return Fault{"an unknown critical PNG chunk '" + printable(*type) + "'", start};
    }
    if (*type == "IEND") {
      if (!data) return Fault{"the PNG file holds no picture", start};
      return kept;
    }
  }
}

// Frees what the library keeps between its two calls.
struct PngImage : png_image {
  PngImage() : png_image{} { version = PNG_IMAGE_VERSION; }
  ~PngImage() { png_image_free(this); }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
};

}  // namespace

Result<Image8> decode_png(std::span<const std::byte> file, const PngLimits& limits) {
  Header header;
  const auto chunks = picture_chunks(file, limits, header);
  if (!chunks.ok()) return chunks.error();
  PngImage png;
  const auto refused = [&] {
    return Fault{std::string("the PNG file is damaged: ") + png.message, 8};
  };
  if (png_image_begin_read_from_memory(&png, chunks.value().data(), chunks.value().size()) == 0)
    return refused();
  if (png.width != header.width || png.height != header.height) return refused();
  png.format &= PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA;
  Image8 image{header.height, header.width, PNG_IMAGE_SAMPLE_CHANNELS(png.format), {}};
  image.pixels.resize(
      static_cast<size_t>(checked_numel(std::array{image.height, image.width, image.channels})));
  if (png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr) == 0) return refused();
  return image;
}

std::vector<std::byte> encode_png(const Image8& image) {
  const int64_t wanted = checked_numel(std::array{image.height, image.width, image.channels});
  if ((image.channels != 1 && image.channels != 3) || wanted == 0 || image.height > 0x7fffffff ||
      image.width > 0x7fffffff || static_cast<size_t>(wanted) != image.pixels.size())
    throw ShapeError("encode_png: wanted height x width x 1 or 3 bytes; got " +
                     std::to_string(image.height) + " x " + std::to_string(image.width) + " x " +
                     std::to_string(image.channels) + " with " +
                     std::to_string(image.pixels.size()) + " bytes");
  PngImage png;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<std::byte> file(size);
  if (png_image_write_to_memory(&png, file.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0)
    throw InternalError(std::string("encode_png: ") + png.message);
  file.resize(size);
  return file;
}

Image8 read_png(const std::string& path, const PngLimits& limits) {
  const ByteBuffer file = read_file(posix_file_system(), path, kFileLimit);
  auto image = decode_png(file.span(), limits);
  if (!image.ok())
    throw DataError(image.error().what,
                    printable(path, 4096) + ", byte " + std::to_string(image.error().offset), {},
                    "E0330");
  return std::move(image).value();
}

void write_png(const std::string& path, const Image8& image) {
  write_file_atomically(posix_file_system(), path, encode_png(image));
}

}  // namespace sing::data
