#include "support/golden_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"

namespace sing::test {
namespace {

namespace fs = std::filesystem;

const std::string kRoot = std::string(SING_SOURCE_DIR) + "/tests/golden";

TEST(GoldenFile, EveryFileIsWhatItsScriptWrote) {
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(kRoot + "/nn")) {
    if (entry.path().extension() != ".safetensors") continue;
    EXPECT_EQ(golden_problem(kRoot, "nn/" + entry.path().filename().string()), "");
    ++checked;
  }
  EXPECT_GE(checked, 16);
}

/// A copy of one golden file with its manifest and script, to be damaged.
class DamagedGoldenFile : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  void SetUp() override {
    fs::create_directory(path("nn"));
    for (const char* name : {"nn/losses.safetensors", "nn/MANIFEST", "write_nn_golden.py"})
      fs::copy_file(kRoot + "/" + name, path(name));
    ASSERT_EQ(problem(), "");
  }
  std::string problem(const std::string& name = "nn/losses.safetensors") const {
    return golden_problem(folder_.path(), name);
  }

  TemporaryFolder folder_;
};

TEST_F(DamagedGoldenFile, AChangedByteIsFound) {
  std::fstream file(path("nn/losses.safetensors"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-1, std::ios::end);
  const char last = static_cast<char>(file.get() ^ 1);
  file.seekp(-1, std::ios::end);
  file.put(last);
  file.close();
  EXPECT_NE(problem().find("checksum"), std::string::npos) << problem();
}

TEST_F(DamagedGoldenFile, AScriptOfAnotherVersionIsFound) {
  std::ofstream(path("write_nn_golden.py")) << "VERSION = 99\n";
  EXPECT_NE(problem().find("run it again"), std::string::npos) << problem();
}

TEST_F(DamagedGoldenFile, AFileThatIsNotListedIsFound) {
  fs::copy_file(path("nn/losses.safetensors"), path("nn/more.safetensors"));
  EXPECT_NE(problem("nn/more.safetensors").find("not listed"), std::string::npos);
  fs::remove(path("nn/MANIFEST"));
  EXPECT_NE(problem().find("MANIFEST is missing"), std::string::npos);
}

}  // namespace
}  // namespace sing::test
