// F8: a folder of checkpoints, damaged as the input says -> which one a resume chooses.
#include <cstdlib>
#include <optional>

#include "sing/core/log.h"
#include "support/checkpoint_samples.h"
#include "support/sim_file_system.h"

namespace {

using namespace sing;
using test::SimFileSystem;

constexpr const char* kFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                                  "manifest.json"};

void require(bool condition) {
  if (!condition) std::abort();
}

struct Input {
  ByteReader reader;
  size_t number(size_t below) {
    const auto value = reader.u16();
    return value && below > 0 ? *value % below : 0;
  }
  std::string text() {
    const auto length = reader.u8();
    const auto bytes =
        length ? reader.text(std::min<uint64_t>(*length, reader.remaining())) : std::nullopt;
    return std::string(bytes.value_or(""));
  }
  std::string path() {
    return "/c/step-0000000" + std::to_string(1 + number(3)) + "/" + kFiles[number(4)];
  }
};

// One change of the folder. Returns true when it made a file that may pass for whole.
bool change(SimFileSystem& files, Input& input, uint8_t kind) {
  const std::string path = input.path();
  auto* bytes = files.contents(path);
  switch (kind % 10) {
    case 0:
      if (bytes != nullptr && !bytes->empty())
        (*bytes)[input.number(bytes->size())] ^= static_cast<std::byte>(1u << input.number(8));
      return false;
    case 1:
      if (bytes != nullptr) bytes->resize(input.number(bytes->size() + 1));
      return false;
    case 2:
      files.unlink(path);
      return false;
    case 3: {
      const auto* other = files.contents(input.path());
      if (bytes != nullptr && other != nullptr) *bytes = std::vector<std::byte>(*other);
      return false;
    }
    case 4:
      files.rename(folder_of(path), "/c/" + input.text());
      return false;
    case 5: {
      const std::string text = input.text();
      if (bytes != nullptr) bytes->assign(bytes_of(text).begin(), bytes_of(text).end());
      return false;
    }
    case 6:
      files.unlink(path);
      files.symlink(input.text(), path);
      return false;
    case 7:
      files.put("/c/" + input.text(), bytes_of("x"));
      return false;
    case 8: {  // text into a file at some place
      const std::string text = input.text();
      const auto added = bytes_of(text);
      if (bytes != nullptr)
        bytes->insert(bytes->begin() + static_cast<ptrdiff_t>(input.number(bytes->size() + 1)),
                      added.begin(), added.end());
      return false;
    }
    default:
      if (bytes != nullptr && path.ends_with("manifest.json")) test::seal_manifest(*bytes);
      return true;
  }
}

SimFileSystem fresh() {
  SimFileSystem files;
  train::CheckpointStore store(files, "/c", {.keep_last = 3});
  for (const int64_t step : {1, 2, 3}) store.save(step, test::contents_of(step), 0.5);
  return files;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const SimFileSystem start = (set_log_level(LogLevel::off), fresh());
  test::Dice dice(1);
  SimFileSystem files = start.after_crash(test::Survival::everything, dice);
  Input input{ByteReader(std::as_bytes(std::span(data, size)), 4096)};
  bool forged = false;
  for (int i = 0; i < 16 && !input.reader.at_end(); ++i)
    forged = change(files, input, *input.reader.u8()) || forged;

  train::CheckpointStore store(files, "/c");
  std::optional<train::LoadedCheckpoint> loaded;
  try {
    loaded = store.load_newest();
  } catch (const CheckpointError& e) {
    require(e.code() == "E0402");
  }
  // What is chosen is exactly what was saved, unless the input forged a manifest.
  if (loaded && !forged) require(test::is_of_step(*loaded, loaded->step));
#ifdef SING_PLANT_BUG
  if (loaded)  // two are damaged, the newest one in its state: no input of the corpus does that
    require(loaded->passed_over.size() != 2 ||
            loaded->passed_over[0].find("state.json") == std::string::npos);
#endif
  // And the run can go on from there. Looked at for one input in sixteen, since it reads and writes
  // ten times as much as the choice above.
  if (size % 16 != 0) return 0;
  store.recover();
  try {
    store.save(9, test::contents_of(9));
    require(test::is_of_step(store.load_step(9), 9));
  } catch (const CheckpointError& e) {
    require(e.code() == "E0401");  // a file where a folder belongs
  }
  return 0;
}
