#include "manifest.h"

#include <array>

#include "sing/core/byte_reader.h"
#include "sing/core/crc32c.h"
#include "sing/core/version.h"

namespace sing::train {
namespace {

constexpr int64_t kVersion = 1;
constexpr std::string_view kSeal = ",\"crc32c\":\"", kEnd = "\"}\n";

std::string seal(std::string_view body) {
  return std::string(kSeal) + crc_text(crc32c(bytes_of(body))) + std::string(kEnd);
}

// What the JSON says, once the seal has shown that we wrote it.
Manifest from_json(const JsonValue& json) {
  if (json.at("format").as_string() != "sing-checkpoint")
    throw DataError("the format is not sing-checkpoint");
  if (const int64_t version = json.at("version").as_integer(); version != kVersion)
    throw DataError("its format version is " + std::to_string(version) + ", this program reads " +
                    std::to_string(kVersion));
  Manifest manifest;
  manifest.step = json.at("step").as_integer();
  if (!json.at("score").is_null()) manifest.score = json.at("score").as_double();
  for (const auto& [name, file] : json.at("files").as_object()) {
    ManifestFile& entry = manifest.files[name];
    entry.bytes = file.at("bytes").as_unsigned();
    entry.sha256 = file.at("sha256").as_string();
    if (const JsonValue* tensors = file.find("crc32c"))
      for (const auto& [tensor, crc] : tensors->as_object())
        entry.tensors[tensor] = crc.as_string();
  }
  for (const char* name : {kModelFile, kOptimizerFile, kStateFile})
    if (!manifest.files.contains(name)) throw DataError(std::string(name) + " is not listed");
  return manifest;
}

}  // namespace

std::string crc_text(uint32_t crc) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text(8, '0');
  for (size_t i = 0; i < 8; ++i) text[i] = kHex[(crc >> (28 - 4 * i)) & 15u];
  return text;
}

std::string to_text(const Manifest& manifest) {
  JsonValue::Object files;
  for (const auto& [name, file] : manifest.files) {
    JsonValue entry;
    entry.set("bytes", file.bytes).set("sha256", file.sha256);
    if (!file.tensors.empty()) {
      JsonValue::Object tensors;  // not set(): it looks for the name each time
      for (const auto& [tensor, crc] : file.tensors) tensors.emplace_back(tensor, crc);
      entry.set("crc32c", JsonValue::object(std::move(tensors)));
    }
    files.emplace_back(name, std::move(entry));
  }
  JsonValue json;
  json.set("format", "sing-checkpoint")
      .set("version", kVersion)
      .set("sing", version())
      .set("step", manifest.step)
      .set("score", manifest.score ? JsonValue(*manifest.score) : JsonValue())
      .set("files", JsonValue::object(std::move(files)));
  std::string body = to_json(json);
  body.pop_back();  // its closing brace comes after the seal
  return body + seal(body);
}

Result<Manifest> read_manifest(std::string_view text) {
  const size_t sealed = kSeal.size() + 8 + kEnd.size();
  if (text.size() < sealed ||
      text.substr(text.size() - sealed) != seal(text.substr(0, text.size() - sealed)))
    return Fault{"its own checksum does not fit"};
  const auto json = read_json(text);
  if (!json.ok()) return json.error();
  try {
    return from_json(json.value());
  } catch (const DataError& e) {
    return Fault{e.what()};
  }
}

}  // namespace sing::train
