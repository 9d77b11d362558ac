#include <algorithm>
#include <array>
#include <bit>

#include "safetensors_names.h"
#include "sing/core/byte_reader.h"
#include "sing/core/json.h"
#include "sing/core/utf8.h"
#include "sing/tensor/safetensors.h"

namespace sing {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw DataError("tensor '" + printable(name) + "' cannot be written: " + what, {}, {}, "E0323");
}

}  // namespace

void SafetensorsWriter::add(Item item) {
  const std::string& name = item.entry.name;
  if (name.empty() || name.size() > limits_.name_bytes || !is_printable_utf8(name) ||
      name == kMetadataKey)
    refuse(name,
           "a name is 1 to " + std::to_string(limits_.name_bytes) + " bytes of printable text");
  if (item.entry.shape.size() > limits_.rank) refuse(name, "it has too many dimensions");
  if (items_.size() == limits_.tensors)
    refuse(name, "a file holds at most " + std::to_string(limits_.tensors) + " tensors");
  const int64_t wanted = checked_bytes(checked_numel(item.entry.shape), item.entry.dtype);
  if (!item.produce && static_cast<uint64_t>(wanted) != item.bytes.size())
    refuse(name, "its shape needs " + std::to_string(wanted) + " bytes, got " +
                     std::to_string(item.bytes.size()));
  item.entry.end = static_cast<uint64_t>(wanted);
  if (items_.contains(name)) refuse(name, "there is one of that name already");
  item.number = items_.size();
  items_.emplace(name, std::move(item));
}

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<int64_t> shape,
                            std::span<const std::byte> bytes) {
  add(Item{{std::move(name), dtype, std::move(shape)}, bytes});
}

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<int64_t> shape,
                            std::function<void(FileWriter& writer)> produce) {
  SING_ASSERT(produce != nullptr);
  add(Item{{std::move(name), dtype, std::move(shape)}, {}, std::move(produce)});
}

void SafetensorsWriter::add(std::string name, const Tensor& tensor) {
  const Tensor dense = tensor.to(Device{}).contiguous();
  const Shape& shape = dense.shape();
  const size_t bytes = static_cast<size_t>(checked_bytes(dense.numel(), dense.dtype()));
  add(std::move(name), dense.dtype(), {shape.begin(), shape.end()},
      {static_cast<const std::byte*>(dense.raw()), bytes});
  kept_.push_back(dense);
}

void SafetensorsWriter::set_metadata(std::string key, std::string value) {
  metadata_[std::move(key)] = std::move(value);
}

std::vector<SafetensorsWriter::Item> SafetensorsWriter::items() const {
  std::vector<Item> ordered;
  for (const auto& item : items_) ordered.push_back(item.second);
  if (order_ == SafetensorsOrder::as_added)
    std::sort(ordered.begin(), ordered.end(),
              [](const Item& a, const Item& b) { return a.number < b.number; });
  // Stable: within a width the order stays.
  std::stable_sort(ordered.begin(), ordered.end(), [](const Item& a, const Item& b) {
    return size_of(a.entry.dtype) > size_of(b.entry.dtype);
  });
  uint64_t position = 0;
  for (Item& item : ordered) {
    item.entry.begin = position;
    position += item.entry.end;  // so far its length
    item.entry.end = position;
  }
  return ordered;
}

std::string SafetensorsWriter::header() const {
  std::string text = "{";
  if (!metadata_.empty()) {
    JsonValue metadata = JsonValue::object();
    for (const auto& [key, value] : metadata_) metadata.set(key, value);
    text += json_quoted(kMetadataKey) + ":" + to_json(metadata);
  }
  for (const Item& item : items()) {
    if (text.size() > 1) text += ',';
    text += json_quoted(item.entry.name) + ":{\"dtype\":\"";
    text += safetensors_name(item.entry.dtype);
    text += "\",\"shape\":[";
    for (size_t i = 0; i < item.entry.shape.size(); ++i)
      text += (i > 0 ? "," : "") + std::to_string(item.entry.shape[i]);
    text += "],\"data_offsets\":[" + std::to_string(item.entry.begin) + "," +
            std::to_string(item.entry.end) + "]}";
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  const auto length = std::bit_cast<std::array<char, 8>>(static_cast<uint64_t>(text.size()));
  return std::string(length.begin(), length.end()) + text;
}

void SafetensorsWriter::write(FileWriter& writer) const {
  writer.write(bytes_of(header()));
  for (const Item& item : items()) {
    const uint64_t before = writer.size();
    if (item.produce)
      item.produce(writer);
    else
      writer.write(item.bytes);
    if (writer.size() - before != item.entry.end - item.entry.begin)
      refuse(item.entry.name, "its values were not as many as its shape says");
  }
}

std::vector<std::byte> SafetensorsWriter::to_bytes() const {
  for (const Item& item : items()) SING_ASSERT(!item.produce);
  const std::string text = header();
  const auto start = bytes_of(text);
  std::vector<std::byte> out(start.begin(), start.end());
  for (const Item& item : items()) out.insert(out.end(), item.bytes.begin(), item.bytes.end());
  return out;
}

void SafetensorsWriter::save(const std::string& path, FileSystem& files) const {
  produce_file_atomically(files, path, [&](FileWriter& writer) { write(writer); });
}

void save_tensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                  const SafetensorsMetadata& metadata) {
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : tensors) writer.add(name, tensor);
  for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
  writer.save(path);
}

}  // namespace sing
