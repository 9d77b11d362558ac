#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sing/core/atomic_file.h"
#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/file_system.h"
#include "sing/core/result.h"
#include "sing/tensor/tensor.h"

namespace sing {

// The safetensors format (github.com/huggingface/safetensors): the length of a JSON header as u64,
// the header {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}},
// then the values, little-endian and row-major. A file is taken only when it says one thing:
// strict JSON without duplicate keys, known dtypes, lengths that equal shape times size, and
// tensors that cover the values from the first byte to the last without hole or overlap.

struct SafetensorsLimits {
  uint64_t header_bytes = uint64_t{16} << 20;
  size_t tensors = 100'000;
  size_t metadata = 4096;  ///< entries
  size_t name_bytes = 512;
  size_t rank = 8;  ///< in the file; a Tensor takes at most kMaxRank
};

struct SafetensorsEntry {
  std::string name;  ///< printable UTF-8; never to be used as a path
  DType dtype = DType::u8;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  ///< bytes, counted from the first value

  friend bool operator==(const SafetensorsEntry&, const SafetensorsEntry&) = default;
};

using SafetensorsMetadata = std::vector<std::pair<std::string, std::string>>;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  ///< in the order of their values
  SafetensorsMetadata metadata;
  uint64_t data_begin = 0;  ///< position of the first value in the file
};

/// Reads the header out of the first bytes of a file (at least the header itself must be there).
/// `file_bytes` is the length of the whole file. Memory stays within three
/// times the header's own size plus 8 MiB. Throws nothing.
SING_API Result<SafetensorsHeader> read_safetensors_header(std::span<const std::byte> first_bytes,
                                                           uint64_t file_bytes,
                                                           const SafetensorsLimits& limits = {});

/// A whole file in memory. Const methods are thread-safe.
class SING_API SafetensorsFile {
 public:
  /// Throws DataError E0301, E0302 (not readable), E0320 (not a safetensors file we can trust).
  static SafetensorsFile open(const std::string& path, FileSystem& files = posix_file_system(),
                              const SafetensorsLimits& limits = {});
  /// The same for bytes that were read already. Also refuses BOOL values other than 0 and 1.
  static Result<SafetensorsFile> parse(ByteBuffer bytes, const SafetensorsLimits& limits = {});

  const std::vector<SafetensorsEntry>& tensors() const { return header_.tensors; }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }
  /// Null when there is none of that name.
  const SafetensorsEntry* find(std::string_view name) const;
  /// The values of one of tensors(); at no particular alignment.
  std::span<const std::byte> bytes(const SafetensorsEntry& entry) const;
  /// A tensor on the memory of this file, which it keeps alive; copied when the values are not
  /// aligned for their type. Throws DataError E0322 that names it when the rank is above kMaxRank.
  Tensor tensor(const SafetensorsEntry& entry) const;

 private:
  std::shared_ptr<ByteBuffer> content_;
  SafetensorsHeader header_;
};

/// The order of tensors of one width in a file.
enum class SafetensorsOrder : uint8_t { by_name, as_added };

/// Collects tensors and writes them: widest dtype first, then by name (or as they were added, for
/// values that are produced one after the other); the header padded with spaces so that the values
/// start at a multiple of eight. Equal content gives equal bytes.
class SING_API SafetensorsWriter {
 public:
  explicit SafetensorsWriter(SafetensorsOrder order = SafetensorsOrder::by_name,
                             const SafetensorsLimits& limits = {})
      : order_(order), limits_(limits) {}
  /// `bytes` are borrowed until written. Throws DataError E0323 for what a reader would refuse: a
  /// bad or repeated name, too many dimensions, a length that is not shape times size.
  void add(std::string name, DType dtype, std::vector<int64_t> shape,
           std::span<const std::byte> bytes);
  /// Row-major values; a tensor laid out otherwise or on a device is copied first.
  void add(std::string name, const Tensor& tensor);
  /// For values that need not be in memory at once: `produce` writes exactly as many bytes as shape
  /// and dtype say when the file is written (not for to_bytes).
  void add(std::string name, DType dtype, std::vector<int64_t> shape,
           std::function<void(FileWriter& writer)> produce);
  void set_metadata(std::string key, std::string value);

  struct Item {
    SafetensorsEntry entry;
    std::span<const std::byte> bytes;  ///< empty when `produce` is set
    std::function<void(FileWriter& writer)> produce = {};
    size_t number = 0;  ///< of those added before
  };
  /// In the order in which they are written.
  std::vector<Item> items() const;
  /// Length word and header.
  std::string header() const;
  void write(FileWriter& writer) const;
  std::vector<std::byte> to_bytes() const;
  void save(const std::string& path, FileSystem& files = posix_file_system()) const;

 private:
  void add(Item item);  // entry.end: anything
  SafetensorsOrder order_;
  SafetensorsLimits limits_;
  std::map<std::string, Item> items_;  // entry.end: length in bytes
  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> kept_;  // copies that items_ borrow from
};

/// All tensors of a file by name; they share the memory of the file. Errors as SafetensorsFile.
SING_API std::map<std::string, Tensor> load_tensors(const std::string& path);
/// Writes a file atomically.
SING_API void save_tensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                           const SafetensorsMetadata& metadata = {});

}  // namespace sing
