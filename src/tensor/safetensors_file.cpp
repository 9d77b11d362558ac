#include <algorithm>
#include <limits>

#include "sing/core/utf8.h"
#include "sing/tensor/safetensors.h"

namespace sing {

Result<SafetensorsFile> SafetensorsFile::parse(ByteBuffer bytes, const SafetensorsLimits& limits) {
  auto header = read_safetensors_header(std::as_const(bytes).span(), bytes.size(), limits);
  if (!header.ok()) return header.error();
  SafetensorsFile file;
  file.header_ = std::move(header).value();
  file.content_ = std::make_shared<ByteBuffer>(std::move(bytes));
  for (const SafetensorsEntry& entry : file.tensors()) {
    if (entry.dtype != DType::boolean) continue;
    const auto values = file.bytes(entry);
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](std::byte value) { return value > std::byte{1}; });
    if (bad != values.end())
      return Fault{
          "tensor '" + entry.name + "' is BOOL but holds the value " +
              std::to_string(static_cast<int>(*bad)),
          file.header_.data_begin + entry.begin + static_cast<uint64_t>(bad - values.begin())};
  }
  return file;
}

SafetensorsFile SafetensorsFile::open(const std::string& path, FileSystem& files,
                                      const SafetensorsLimits& limits) {
  auto file = parse(read_file(files, path, std::numeric_limits<int64_t>::max()), limits);
  if (!file.ok())
    throw DataError("not a safetensors file that can be trusted: " + file.error().what,
                    printable(path, 4096) + ", byte " + std::to_string(file.error().offset), {},
                    "E0320");
  return std::move(file).value();
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  for (const SafetensorsEntry& entry : tensors())
    if (entry.name == name) return &entry;
  return nullptr;
}

std::span<const std::byte> SafetensorsFile::bytes(const SafetensorsEntry& entry) const {
  const ByteBuffer& content = *content_;
  return content.span().subspan(static_cast<size_t>(header_.data_begin + entry.begin),
                                static_cast<size_t>(entry.end - entry.begin));
}

Tensor SafetensorsFile::tensor(const SafetensorsEntry& entry) const {
  if (entry.shape.size() > static_cast<size_t>(kMaxRank))
    throw DataError("tensor '" + entry.name + "' has " + std::to_string(entry.shape.size()) +
                        " dimensions; at most " + std::to_string(kMaxRank) + " are supported",
                    {}, {}, "E0322");
  const Shape shape{std::span<const int64_t>(entry.shape)};
  const auto values = bytes(entry);
  std::byte* memory =
      content_->span().subspan(static_cast<size_t>(header_.data_begin + entry.begin)).data();
  if (reinterpret_cast<uintptr_t>(memory) % size_of(entry.dtype) == 0)
    return Tensor::wrap(memory, shape, entry.dtype, content_);
  Tensor copy = Tensor::empty(shape, {.dtype = entry.dtype});
  std::copy(values.begin(), values.end(), static_cast<std::byte*>(copy.mutable_raw()));
  return copy;
}

std::map<std::string, Tensor> load_tensors(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::map<std::string, Tensor> tensors;
  for (const SafetensorsEntry& entry : file.tensors()) tensors[entry.name] = file.tensor(entry);
  return tensors;
}

}  // namespace sing
