#include "sing/tensor/safetensors_reader.h"

#include <algorithm>
#include <cerrno>

#include "sing/core/byte_reader.h"
#include "sing/core/utf8.h"

namespace sing {

SafetensorsReader::SafetensorsReader(const std::string& path, FileSystem& files,
                                     const SafetensorsLimits& limits)
    : files_(files), path_(path) {
  auto file = files_.open(path_, Links::follow);
  while (!file.ok() && file.error().code == EINTR) file = files_.open(path_, Links::follow);
  if (!file.ok())
    throw DataError("the file " + (file.error().code == EINVAL
                                       ? std::string("is not a regular file")
                                       : "cannot be opened: " + error_text(file.error().code)),
                    printable(path_, 4096), {}, "E0301");
  file_ = file.value();
  try {
    const auto size = files_.size(file_);
    if (!size.ok())
      throw DataError("the file cannot be read: " + error_text(size.error().code),
                      printable(path_, 4096), {}, "E0301");
    // The length word, then the header if that can be one: what is too long is refused unread.
    constexpr uint64_t kWord = 8;
    ByteBuffer word(static_cast<size_t>(std::min(kWord, size.value())));
    read_at(0, word.span());
    const uint64_t length = ByteReader(std::as_const(word).span()).u64().value_or(0);
    const uint64_t after_word = size.value() - word.size();
    const bool possible = length <= limits.header_bytes && length <= after_word;
    ByteBuffer start(static_cast<size_t>(word.size() + (possible ? length : 0)));
    read_at(0, start.span());
    auto header = read_safetensors_header(std::as_const(start).span(), size.value(), limits);
    if (!header.ok()) refuse(header.error());
    header_ = std::move(header).value();
  } catch (...) {
    files_.close(file_);
    throw;
  }
}

SafetensorsReader::~SafetensorsReader() {
  files_.close(file_);
}

void SafetensorsReader::refuse(const Fault& fault) const {
  throw DataError("not a safetensors file that can be trusted: " + fault.what,
                  printable(path_, 4096) + ", byte " + std::to_string(fault.offset), {}, "E0320");
}

void SafetensorsReader::read_at(uint64_t place, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto count = files_.read_at(file_, place, bytes);
    if (!count.ok() && count.error().code == EINTR) continue;
    if (!count.ok() || count.value() == 0)
      throw DataError(
          "the file " + (count.ok() ? std::string("became shorter while it was read")
                                    : "cannot be read: " + error_text(count.error().code)),
          printable(path_, 4096), {}, "E0301");
    place += count.value();
    bytes = bytes.subspan(count.value());
  }
}

Tensor SafetensorsReader::read(const SafetensorsEntry& entry) const {
  if (entry.shape.size() > static_cast<size_t>(kMaxRank))
    throw DataError("tensor '" + entry.name + "' has " + std::to_string(entry.shape.size()) +
                        " dimensions; at most " + std::to_string(kMaxRank) + " are supported",
                    printable(path_, 4096), {}, "E0322");
  Tensor tensor =
      Tensor::empty(Shape{std::span<const int64_t>(entry.shape)}, {.dtype = entry.dtype});
  const std::span<std::byte> values(static_cast<std::byte*>(tensor.mutable_raw()),
                                    static_cast<size_t>(entry.end - entry.begin));
  read_at(header_.data_begin + entry.begin, values);
  if (entry.dtype == DType::boolean &&
      std::any_of(values.begin(), values.end(), [](std::byte b) { return b > std::byte{1}; }))
    refuse({"tensor '" + entry.name + "' is BOOL but holds another value than 0 and 1",
            header_.data_begin + entry.begin});
  return tensor;
}

}  // namespace sing
