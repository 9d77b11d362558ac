#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/byte_reader.h"
#include "sing/tensor/safetensors.h"

namespace sing::test {

inline ByteBuffer buffer_of(std::span<const std::byte> bytes) {
  ByteBuffer buffer(bytes.size());
  std::copy(bytes.begin(), bytes.end(), buffer.span().begin());
  return buffer;
}

/// Length word, header text and values, whatever they say.
inline ByteBuffer file_with(std::string_view header, std::string_view values,
                            uint64_t length_word = ~uint64_t{0}) {
  if (length_word == ~uint64_t{0}) length_word = header.size();
  const auto word = std::bit_cast<std::array<char, 8>>(length_word);
  std::string text(word.begin(), word.end());
  text.append(header).append(values);
  return buffer_of(bytes_of(text));
}

/// About 700 bytes: every dtype, ranks 0 to 3, a tensor without elements, metadata.
inline std::vector<std::byte> sample_file() {
  std::array<std::byte, 96> values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::byte>(i * 37);
  const std::array<std::byte, 3> flags = {std::byte{0}, std::byte{1}, std::byte{1}};
  const std::span<const std::byte> all(values);
  SafetensorsWriter writer;
  writer.add("w.f64", DType::f64, {2, 1}, all.first(16));
  writer.add("w.f32", DType::f32, {2, 3}, all.first(24));
  writer.add("b16", DType::bf16, {3}, all.first(6));
  writer.add("h", DType::f16, {1, 2, 1}, all.first(4));
  writer.add("i", DType::i64, {}, all.first(8));
  writer.add("ids", DType::i32, {2}, all.first(8));
  writer.add("u", DType::u8, {5}, all.first(5));
  writer.add("ok", DType::boolean, {3}, flags);
  writer.add("e", DType::f32, {0, 4}, all.first(0));
  writer.add("v", DType::u8, {1}, all.first(1));
  writer.set_metadata("format", "pt");
  return writer.to_bytes();
}

/// Everything a file says, for comparing.
inline bool same_content(const SafetensorsFile& a, const SafetensorsFile& b) {
  if (a.tensors().size() != b.tensors().size()) return false;
  for (const SafetensorsEntry& entry : a.tensors()) {
    const SafetensorsEntry* other = b.find(entry.name);
    if (other == nullptr || other->dtype != entry.dtype || other->shape != entry.shape)
      return false;
    const auto x = a.bytes(entry), y = b.bytes(*other);
    if (!std::equal(x.begin(), x.end(), y.begin(), y.end())) return false;
  }
  auto x = a.metadata(), y = b.metadata();
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  return x == y;
}

inline std::vector<std::byte> saved_again(const SafetensorsFile& file) {
  SafetensorsWriter writer;
  for (const SafetensorsEntry& entry : file.tensors())
    writer.add(entry.name, entry.dtype, entry.shape, file.bytes(entry));
  for (const auto& [key, value] : file.metadata()) writer.set_metadata(key, value);
  return writer.to_bytes();
}

}  // namespace sing::test
