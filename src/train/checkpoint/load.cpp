#include <algorithm>

#include "manifest.h"
#include "sing/core/crc32c.h"
#include "sing/core/sha256.h"
#include "sing/core/utf8.h"
#include "sing/tensor/safetensors.h"
#include "sing/train/checkpoint_store.h"

namespace sing::train {
namespace {

constexpr uint64_t kManifestLimit = uint64_t{64} << 20;

// Which tensor the damage is in, for the one-line reason.
std::string damage_of(const SafetensorsFile& file, const ManifestFile& listed) {
  for (const SafetensorsEntry& entry : file.tensors()) {
    const auto crc = listed.tensors.find(entry.name);
    if (crc == listed.tensors.end() || crc->second != crc_text(crc32c(file.bytes(entry))))
      return "tensor '" + entry.name + "' is damaged";
  }
  return file.tensors().size() == listed.tensors.size() ? "the header is damaged"
                                                        : "a tensor is missing";
}

// The bytes of one file as the manifest lists it.
Result<ByteBuffer> read_listed(FileSystem& files, const std::string& folder,
                               const std::string& name, const ManifestFile& listed) {
  auto bytes = try_read_file(files, join_path(folder, name), listed.bytes, Links::refuse);
  if (!bytes.ok()) return Fault{name + " " + bytes.error().what};
  if (bytes.value().size() != listed.bytes)
    return Fault{name + " has " + std::to_string(bytes.value().size()) + " of " +
                 std::to_string(listed.bytes) + " bytes"};
  return bytes;
}

Result<std::map<std::string, Tensor>> read_tensors(FileSystem& files, const std::string& folder,
                                                   const std::string& name,
                                                   const ManifestFile& listed) {
  auto bytes = read_listed(files, folder, name, listed);
  if (!bytes.ok()) return bytes.error();
  const bool whole = sha256_hex(std::as_const(bytes.value()).span()) == listed.sha256;
  auto file = SafetensorsFile::parse(std::move(bytes).value());
  if (!file.ok()) return Fault{name + ": " + file.error().what};
  const SafetensorsFile& tensors = file.value();
  if (!whole) return Fault{name + ": " + damage_of(tensors, listed)};
  std::map<std::string, Tensor> loaded;
  for (const SafetensorsEntry& entry : tensors.tensors()) {
    const auto crc = listed.tensors.find(entry.name);
    if (crc == listed.tensors.end() || crc->second != crc_text(crc32c(tensors.bytes(entry))))
      return Fault{name + ": tensor '" + entry.name + "' is not the one in the manifest"};
    loaded[entry.name] = tensors.tensor(entry);
  }
  if (loaded.size() != listed.tensors.size()) return Fault{name + ": a tensor is missing"};
  return loaded;
}

Result<JsonValue> read_state(FileSystem& files, const std::string& folder,
                             const ManifestFile& listed) {
  const auto bytes = read_listed(files, folder, kStateFile, listed);
  if (!bytes.ok()) return bytes.error();
  if (sha256_hex(bytes.value().span()) != listed.sha256)
    return Fault{std::string(kStateFile) + " is damaged"};
  auto state = read_json(bytes.value().text());
  if (!state.ok()) return Fault{std::string(kStateFile) + ": " + state.error().what};
  return state;
}

}  // namespace

Result<LoadedCheckpoint> try_load_checkpoint(FileSystem& files, const std::string& path,
                                             CheckpointParts parts) {
  const auto text =
      try_read_file(files, join_path(path, kManifestFile), kManifestLimit, Links::refuse);
  if (!text.ok()) return Fault{std::string(kManifestFile) + " " + text.error().what};
  const auto read = read_manifest(text.value().text());
  if (!read.ok()) return Fault{std::string(kManifestFile) + ": " + read.error().what};
  const Manifest& manifest = read.value();
  const auto named = step_of_checkpoint(name_of_path(path));
  if (named && *named != manifest.step)
    return Fault{std::string(kManifestFile) + " is of step " + std::to_string(manifest.step)};

  LoadedCheckpoint loaded;
  loaded.step = manifest.step;
  loaded.path = path;
  loaded.score = manifest.score;
  try {
    auto model = read_tensors(files, path, kModelFile, manifest.files.at(kModelFile));
    if (!model.ok()) return model.error();
    loaded.contents.model = std::move(model).value();
    if (parts == CheckpointParts::model) return loaded;
    auto optimizer = read_tensors(files, path, kOptimizerFile, manifest.files.at(kOptimizerFile));
    if (!optimizer.ok()) return optimizer.error();
    loaded.contents.optimizer = std::move(optimizer).value();
    auto state = read_state(files, path, manifest.files.at(kStateFile));
    if (!state.ok()) return state.error();
    loaded.contents.state = std::move(state).value();
  } catch (const DataError& e) {  // a tensor with more dimensions than the engine takes
    return Fault{e.what()};
  }
  return loaded;
}

LoadedCheckpoint load_checkpoint(const std::string& path, CheckpointParts parts) {
  auto loaded = try_load_checkpoint(posix_file_system(), path, parts);
  if (!loaded.ok())
    throw CheckpointError("the checkpoint cannot be used: " + loaded.error().what,
                          printable(path, 4096), {}, "E0402");
  return std::move(loaded).value();
}

}  // namespace sing::train
