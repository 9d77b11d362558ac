#include <algorithm>
#include <optional>
#include <tuple>

#include "safetensors_names.h"
#include "sing/core/byte_reader.h"
#include "sing/core/json.h"
#include "sing/core/shape.h"
#include "sing/core/utf8.h"
#include "sing/tensor/safetensors.h"

namespace sing {
namespace {

// Integers of the header stay below 2^53, so that every JSON reader gives the same ones.
constexpr uint64_t kLargestInteger = (uint64_t{1} << 53) - 1;

// Takes the header piece by piece, without building a tree of it: a hostile header could make the
// tree a hundred times its own size.
class HeaderEvents final : public JsonEvents {
 public:
  HeaderEvents(SafetensorsHeader& header, const SafetensorsLimits& limits)
      : header_(header), limits_(limits) {}

  bool on_null() override { return refuse("a null where none belongs"); }
  bool on_boolean(bool) override { return refuse("a boolean where none belongs"); }
  bool on_integer(int64_t) override { return refuse("a negative integer"); }
  bool on_number(double) override { return refuse("a number that is not an integer"); }
  bool on_unsigned(uint64_t value) override {
    if (value > kLargestInteger) return refuse("an integer of 2^53 or more");
    if (place_ == Place::shape) {
      if (entry().shape.size() == limits_.rank)
        return refuse("more than " + std::to_string(limits_.rank) + " dimensions");
      entry().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ != Place::offsets) return refuse("an integer where none belongs");
    if (offsets_ == 2) return refuse("more than two offsets");
    (offsets_++ == 0 ? entry().begin : entry().end) = value;
    return true;
  }

  bool on_string(std::string_view value) override {
    if (place_ == Place::metadata) {
      header_.metadata.back().second = value;
      return true;
    }
    if (place_ != Place::entry || field_ != kDType) return refuse("a string where none belongs");
    const auto dtype = dtype_from_safetensors(value);
    if (!dtype)
      return refuse("the dtype '" + printable(value, 20) +
                    "' (known are F64, F32, BF16, F16, I64, I32, U8, BOOL)");
    entry().dtype = *dtype;
    return true;
  }

  bool on_key(std::string_view key) override {
    switch (place_) {
      case Place::root:
        return on_name(key);
      case Place::metadata:
        if (header_.metadata.size() == limits_.metadata)
          return refuse("more than " + std::to_string(limits_.metadata) + " metadata entries");
        header_.metadata.emplace_back(std::string(key), std::string());
        return true;
      default:
        return on_field(key);
    }
  }

  bool on_start_object() override {
    if (place_ == Place::before) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = in_metadata_ ? Place::metadata : Place::entry;
      seen_ = 0;
    } else {
      return refuse("an object where none belongs");
    }
    return true;
  }

  bool on_end_object() override {
    if (place_ == Place::entry && seen_ != (kDType | kShape | kOffsets))
      return refuse("dtype, shape or data_offsets missing");
    place_ = place_ == Place::root ? Place::after : Place::root;
    return true;
  }

  bool on_start_array() override {
    if (place_ != Place::entry || field_ == kDType) return refuse("an array where none belongs");
    place_ = field_ == kShape ? Place::shape : Place::offsets;
    offsets_ = 0;
    return true;
  }

  bool on_end_array() override {
    if (place_ == Place::offsets && offsets_ != 2) return refuse("fewer than two offsets");
    place_ = Place::entry;
    return true;
  }

  std::string refusal() const override { return refusal_; }

 private:
  enum class Place { before, root, metadata, entry, shape, offsets, after };
  enum Field : unsigned { kDType = 1, kShape = 2, kOffsets = 4 };

  SafetensorsEntry& entry() { return header_.tensors.back(); }

  bool on_name(std::string_view name) {
    in_metadata_ = name == kMetadataKey;
    if (in_metadata_) {
      if (seen_metadata_) return refuse("the metadata twice");
      seen_metadata_ = true;
      return true;
    }
    if (header_.tensors.size() == limits_.tensors)
      return refuse("more than " + std::to_string(limits_.tensors) + " tensors");
    header_.tensors.emplace_back();
    if (name.empty() || name.size() > limits_.name_bytes || !is_printable_utf8(name))
      return refuse("a name that is empty, longer than " + std::to_string(limits_.name_bytes) +
                    " bytes or not printable: '" + printable(name) + "'");
    entry().name = name;
    return true;
  }

  bool on_field(std::string_view key) {
    unsigned field = 0;
    if (key == "dtype") field = kDType;
    if (key == "shape") field = kShape;
    if (key == "data_offsets") field = kOffsets;
    if (field == 0) return refuse("the unknown key '" + printable(key) + "'");
    if ((seen_ & field) != 0) return refuse("the key '" + printable(key) + "' twice");
    seen_ |= field;
    field_ = field;
    return true;
  }

  bool refuse(const std::string& what) {
    refusal_ = "the header has " + what;
    if (place_ >= Place::entry && place_ != Place::after && !header_.tensors.empty())
      refusal_ += " at tensor '" + entry().name + "'";
    return false;
  }

  SafetensorsHeader& header_;
  const SafetensorsLimits& limits_;
  Place place_ = Place::before;
  bool in_metadata_ = false, seen_metadata_ = false;
  unsigned seen_ = 0, field_ = 0;
  int offsets_ = 0;
  std::string refusal_;
};

template <class Items, class Key>
std::optional<std::string> repeated(const Items& items, Key&& key) {
  std::vector<std::string_view> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(key(item));
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return std::nullopt;
  return printable(*twice);
}

// Sorts by position and checks that lengths equal shapes and that nothing is left over.
std::optional<Fault> check_layout(SafetensorsHeader& header, uint64_t data_bytes) {
  auto& tensors = header.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  for (const SafetensorsEntry& entry : tensors) {
    const auto fault = [&](const std::string& what) {
      return Fault{"tensor '" + entry.name + "' " + what, header.data_begin + entry.begin};
    };
    uint64_t bytes = 0;
    try {
      bytes = static_cast<uint64_t>(checked_bytes(checked_numel(entry.shape), entry.dtype));
    } catch (const ShapeError&) {
      return fault("has a shape whose size does not fit 63 bits");
    }
    if (entry.end < entry.begin || entry.end - entry.begin != bytes)
      return fault("needs " + std::to_string(bytes) + " bytes for its shape; its offsets are " +
                   std::to_string(entry.begin) + " and " + std::to_string(entry.end));
    if (entry.begin != expected)
      return fault("starts at " + std::to_string(entry.begin) + ", wanted " +
                   std::to_string(expected) + ": the tensors overlap or leave a hole");
    expected = entry.end;
  }
  if (expected != data_bytes)
    return Fault{"the tensors need " + std::to_string(expected) + " bytes, the file holds " +
                     std::to_string(data_bytes),
                 header.data_begin + std::min(expected, data_bytes)};
  return std::nullopt;
}

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(std::span<const std::byte> first_bytes,
                                                  uint64_t file_bytes,
                                                  const SafetensorsLimits& limits) {
  ByteReader reader(first_bytes);
  const auto length = reader.u64();
  if (!length) return Fault{"the file is too short for a safetensors header", first_bytes.size()};
  if (*length > limits.header_bytes)
    return Fault{"the header says it has " + std::to_string(*length) + " bytes; the limit is " +
                     std::to_string(limits.header_bytes),
                 0};
  const auto text = reader.text(*length);
  if (!text || file_bytes < 8 + *length)
    return Fault{"the file ends inside the header", file_bytes};
  if (text->empty() || text->front() != '{') return Fault{"the header does not start with '{'", 8};
  if (text->find_last_not_of(' ') != text->rfind('}'))
    return Fault{"the header does not end with '}' and spaces", 7 + *length};

  SafetensorsHeader header;
  header.data_begin = 8 + *length;
  // An entry takes at least 49 bytes of text: one allocation instead of a doubling vector.
  header.tensors.reserve(std::min<size_t>(limits.tensors, static_cast<size_t>(*length / 49 + 1)));
  HeaderEvents events(header, limits);
  JsonLimits json;
  json.depth = 4;
  const auto read = read_json_events(*text, events, json);
  if (!read.ok()) return Fault{read.error().what, 8 + read.error().offset};
  if (const auto name =
          repeated(header.tensors, [](const auto& t) -> const std::string& { return t.name; }))
    return Fault{"the header names tensor '" + *name + "' twice", 8};
  if (const auto key =
          repeated(header.metadata, [](const auto& m) -> const std::string& { return m.first; }))
    return Fault{"the header has the metadata key '" + *key + "' twice", 8};
  if (auto fault = check_layout(header, file_bytes - header.data_begin)) return *std::move(fault);
  return header;
}

}  // namespace sing
