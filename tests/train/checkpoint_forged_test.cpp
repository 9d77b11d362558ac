// Manifests whose checksum fits but which say something else: another version of the program, a
// writer with a fault, or a file put together by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "sing/core/sha256.h"
#include "sing/tensor/safetensors.h"
#include "support/checkpoint_samples.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"

namespace sing::train {
namespace {

using test::contents_of;
using test::SimFileSystem;

class Forged : public testing::Test {
 protected:
  void SetUp() override {
    CheckpointStore(files, "/c").save(1, contents_of(1));
    manifest = files.contents("/c/step-00000001/manifest.json");
    model = files.contents("/c/step-00000001/model.safetensors");
  }
  std::string text() const {
    return {reinterpret_cast<const char*>(manifest->data()), manifest->size()};
  }
  /// Replaces `from` once, seals, and gives the reason why the checkpoint is not used.
  std::string reason(const std::string& from, const std::string& to) {
    std::string changed = text();
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    const auto bytes = bytes_of(changed);
    manifest->assign(bytes.begin(), bytes.end());
    test::seal_manifest(*manifest);
    const auto loaded = try_load_checkpoint(files, "/c/step-00000001");
    return loaded.ok() ? "used" : loaded.error().what;
  }
  /// The value of "key":"..." after the first place where `after` stands.
  std::string value_of(const std::string& after, const std::string& key) const {
    const size_t from = text().find("\"" + key + "\":\"", text().find(after)) + key.size() + 4;
    return text().substr(from, text().find('"', from) - from);
  }

  SimFileSystem files;
  std::vector<std::byte>* manifest = nullptr;
  std::vector<std::byte>* model = nullptr;
};

TEST_F(Forged, TheSealAloneDoesNotHurt) {
  EXPECT_EQ(reason("sing-checkpoint", "sing-checkpoint"), "used");
}

TEST_F(Forged, AnotherVersion) {
  EXPECT_EQ(reason("\"version\":1", "\"version\":2"),
            "manifest.json: its format version is 2, this program reads 1");
}

TEST_F(Forged, AnotherFormat) {
  EXPECT_EQ(reason("sing-checkpoint", "else"), "manifest.json: the format is not sing-checkpoint");
}

TEST_F(Forged, AMissingKey) {
  EXPECT_EQ(reason("\"step\":", "\"stop\":"), "manifest.json: JSON: the key 'step' is missing");
}

TEST_F(Forged, AFileThatIsNotListed) {
  EXPECT_EQ(reason("\"state.json\":", "\"other.json\":"),
            "manifest.json: state.json is not listed");
}

TEST_F(Forged, NotJson) {
  EXPECT_THAT(reason("\"files\":", "files:"), testing::StartsWith("manifest.json: "));
}

TEST_F(Forged, AnotherChecksumOfATensor) {
  const std::string crc = value_of("\"model.safetensors\"", "head.steps");
  EXPECT_EQ(reason(crc, "00000000"),
            "model.safetensors: tensor 'head.steps' is not the one in the manifest");
}

TEST_F(Forged, AnotherDigestOfAWholeFile) {
  EXPECT_EQ(reason(value_of("\"model.safetensors\"", "sha256"), std::string(64, '0')),
            "model.safetensors: the header is damaged");
}

TEST_F(Forged, ATensorTooMany) {
  EXPECT_EQ(reason("\"head.steps\":", "\"more\":\"00000000\",\"head.steps\":"),
            "model.safetensors: a tensor is missing");
  EXPECT_EQ(reason(value_of("\"model.safetensors\"", "sha256"), std::string(64, '0')),
            "model.safetensors: a tensor is missing");
}

TEST_F(Forged, AnotherDigestOfTheState) {
  EXPECT_EQ(reason(value_of("\"state.json\"", "sha256"), std::string(64, '0')),
            "state.json is damaged");
}

TEST_F(Forged, AStateThatIsNotJson) {
  auto* state = files.contents("/c/step-00000001/state.json");
  const std::string digest = value_of("\"state.json\"", "sha256");
  state->front() = std::byte{'['};
  EXPECT_THAT(reason(digest, sha256_hex(*state)), testing::HasSubstr("state.json: not valid JSON"));
}

TEST_F(Forged, ATensorWithoutAChecksum) {
  model->back() ^= std::byte{1};  // and the file is damaged as well
  const std::string name = contents_of(1).model.begin()->first;
  EXPECT_THAT(reason("\"" + name + "\"", "\"another\""),
              testing::HasSubstr("tensor '" + name + "' is damaged"));
}

TEST_F(Forged, ATensorOfMoreDimensionsThanTheEngineTakes) {
  SafetensorsWriter writer;
  const std::array<std::byte, 1> value = {std::byte{7}};
  writer.add("deep", DType::u8, {1, 1, 1, 1, 1, 1, 1}, value);
  *model = writer.to_bytes();
  const std::string all = text();
  const size_t from = all.find("\"model.safetensors\":");
  const size_t to = all.find("\"optimizer.safetensors\":");
  char crc[9];
  std::snprintf(crc, sizeof crc, "%08x", crc32c(value));
  EXPECT_EQ(reason(all.substr(from, to - from),
                   "\"model.safetensors\":{\"bytes\":" + std::to_string(model->size()) +
                       ",\"sha256\":\"" + sha256_hex(*model) + "\",\"crc32c\":{\"deep\":\"" + crc +
                       "\"}},"),
            "tensor 'deep' has 7 dimensions; at most 6 are supported");
}

TEST(LoadCheckpoint, ThrowsWithTheReason) {
  const test::TemporaryFolder folder;
  const auto code = [](auto&& load) -> std::string {
    try {
      load();
    } catch (const CheckpointError& e) {
      return e.code() + " " + e.what();
    }
    return "";
  };
  EXPECT_EQ(code([&] { load_checkpoint(folder.path()); }),
            "E0402 the checkpoint cannot be used: manifest.json cannot be opened: No such file or "
            "directory");
  EXPECT_THAT(code([&] { (void)CheckpointStore(posix_file_system(), folder.path()).load_step(3); }),
              testing::StartsWith("E0402 checkpoint step-00000003 cannot be used: manifest.json"));
}

}  // namespace
}  // namespace sing::train
