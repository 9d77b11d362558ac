// F2: bytes -> tensors -> written again: equal, or refused.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "support/safetensors_bytes.h"

namespace {

// A file put together from choices: mostly right, so that what lies behind the first checks is
// reached often, with offsets that may be off by a little.
sing::ByteBuffer file_by_choices(std::string_view input) {
  sing::ByteReader choices(sing::bytes_of(input));
  const auto next = [&]() -> unsigned { return choices.u8().value_or(0); };
  static constexpr std::pair<const char*, uint64_t> kTypes[] = {
      {"F64", 8}, {"F32", 4}, {"BF16", 2}, {"F16", 2}, {"I64", 8},
      {"I32", 4}, {"U8", 1},  {"BOOL", 1}, {"I16", 2}};
  std::string header = "{";
  uint64_t end = 0;
  for (int i = 0; i < 8 && !choices.at_end(); ++i) {
    const auto& [type, size] = kTypes[next() % std::size(kTypes)];
    std::string shape;
    uint64_t bytes = size;
    for (unsigned rank = next() % 10; rank > 0; --rank) {
      const unsigned dim = next() % 4;
      bytes *= dim;
      shape += (shape.empty() ? "" : ",") + std::to_string(dim);
    }
    const uint64_t begin = end + (next() == 255 ? 1 : 0);
    end = begin + std::min<uint64_t>(bytes, 4096) + (next() == 255 ? 1 : 0);
    header += std::string(i > 0 ? "," : "") + "\"" + static_cast<char>('a' + next() % 16) +
              "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  return sing::test::file_with(header + "}", std::string(end, '\1'));
}

// Inputs that start with '{' are a header, a new line and values; the length word is put in front
// here, so that changing the header does not have to hit the length too. Those that start with '@'
// are choices. Others are whole files.
sing::ByteBuffer file_of(std::string_view input) {
  if (input.starts_with('@')) return file_by_choices(input.substr(1));
  if (!input.starts_with('{')) return sing::test::buffer_of(sing::bytes_of(input));
  const size_t line = std::min(input.find('\n'), input.size() - 1);
  return sing::test::file_with(input.substr(0, line), input.substr(line + 1));
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sing;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  auto parsed = SafetensorsFile::parse(file_of(input));
  if (!parsed.ok()) {
    require(!parsed.error().what.empty());
    return 0;
  }
  const SafetensorsFile& file = parsed.value();
  for (const SafetensorsEntry& entry : file.tensors()) {
    if (entry.shape.size() > static_cast<size_t>(kMaxRank)) continue;
    const Tensor tensor = file.tensor(entry);
    const auto bytes = file.bytes(entry);
    require(tensor.dtype() == entry.dtype);
    require(bytes.empty() || std::memcmp(tensor.raw(), bytes.data(), bytes.size()) == 0);
  }
  const auto again = test::saved_again(file);
  auto back = SafetensorsFile::parse(test::buffer_of(again));
  require(back.ok() && test::same_content(file, back.value()));
  require(test::saved_again(back.value()) == again);
#ifdef SING_PLANT_BUG
  // No input of the corpus has two tensors of four dimensions.
  require(std::count_if(file.tensors().begin(), file.tensors().end(),
                        [](const auto& entry) { return entry.shape.size() == 4; }) < 2);
#endif
  return 0;
}
