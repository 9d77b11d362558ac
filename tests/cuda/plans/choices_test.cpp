// Chosen engines as text and which engines may be chosen.
#include "backend/cuda/cudnn/choices.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include "backend/cuda/switches.h"
#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "support/temporary_folder.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

TEST(CudnnChoices, ReadBackWhatWasWritten) {
  Choices written(91900, "card");
  written.put({1, 2, 3}, "a graph", {62, {{2, 5}, {25, 0}}});
  written.put({1, 2}, "another", {7, {}});
  Choices read(91900, "card");
  read.put({9}, "was there", {1, {}});
  ASSERT_TRUE(read.read(written.to_json(), "text"));
  EXPECT_EQ(read.size(), 3u);
  ASSERT_NE(read.find({1, 2, 3}), nullptr);
  EXPECT_EQ(*read.find({1, 2, 3}), (EngineChoice{62, {{2, 5}, {25, 0}}}));
  EXPECT_EQ(*read.find({1, 2}), (EngineChoice{7, {}}));
  EXPECT_EQ(*read.find({9}), (EngineChoice{1, {}}));
  EXPECT_EQ(read.find({1}), nullptr);
}

TEST(CudnnChoices, OfAnotherVersionOrDeviceAreNotTaken) {
  Choices written(91900, "card");
  written.put({1}, "a graph", {62, {}});
  Choices older(91800, "card"), other(91900, "other card");
  EXPECT_FALSE(older.read(written.to_json(), "text"));
  EXPECT_FALSE(other.read(written.to_json(), "text"));
  EXPECT_EQ(older.size() + other.size(), 0u);
}

TEST(CudnnChoices, DamagedTextChangesNothing) {
  Choices choices(91900, "card");
  choices.put({1}, "a graph", {62, {}});
  const std::string head = R"({"cudnn": 91900, "device": "card", "plans": )";
  for (const std::string& text :
       {std::string("{"), std::string("[]"), head + "3}",
        head + R"([{"name": "x", "key": [2], "engine": 1, "knobs": [[1]]}]})",
        head + R"([{"name": "x", "key": [2], "engine": "1", "knobs": []}]})",
        head + R"([{"name": "x", "key": [2], "engine": 1, "knobs": []}, {"name": "y"}]})"})
    EXPECT_THROW(choices.read(text, "text"), DataError) << text;
  EXPECT_EQ(choices.size(), 1u);
}

TEST(CudnnChoices, AFileThatIsOfNoUseStopsNothing) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/plans.json";
  Choices written(91900, "card");
  written.put({1}, "a graph", {62, {}});
  Choices read(91900, "card");
  EXPECT_FALSE(read.load(path));  // not there yet
  EXPECT_TRUE(written.save(path));
  EXPECT_TRUE(read.load(path));
  EXPECT_EQ(read.size(), 1u);
  Choices other(91900, "other card");
  EXPECT_FALSE(other.load(path));
  write_file_atomically(path, "{");
  EXPECT_FALSE(read.load(path));
  EXPECT_EQ(read.size(), 1u);
  EXPECT_FALSE(written.save(folder.path() + "/missing/plans.json"));
}

TEST(CudaSwitches, ReadTheEnvironment) {
  constexpr const char* kName = "SING_TEST_SWITCH";
  unsetenv(kName);
  EXPECT_TRUE(cuda::read_switch(kName, true));
  EXPECT_FALSE(cuda::read_switch(kName, false));
  setenv(kName, "", 1);
  EXPECT_TRUE(cuda::read_switch(kName, true));
  setenv(kName, "0", 1);
  EXPECT_FALSE(cuda::read_switch(kName, true));
  setenv(kName, "1", 1);
  EXPECT_TRUE(cuda::read_switch(kName, false));
  unsetenv(kName);
  // What nobody asked for: TF32 off, the same bits on every run.
  unsetenv("SING_CUDA_TF32");
  EXPECT_FALSE(cuda::allow_tf32());
  EXPECT_TRUE(cuda::deterministic());
  cuda::set_deterministic(false);
  EXPECT_FALSE(cuda::deterministic());
  cuda::set_deterministic(true);
}

TEST(CudaSwitches, WhoServesAnOp) {
  constexpr const char* kName = "SING_TEST_PROVIDER";
  unsetenv(kName);
  EXPECT_EQ(cuda::read_provider(kName), cuda::Provider::own);
  for (const auto& [text, provider] :
       {std::pair{"", cuda::Provider::own}, std::pair{"own", cuda::Provider::own},
        std::pair{"cudnn", cuda::Provider::cudnn}, std::pair{"auto", cuda::Provider::automatic}}) {
    setenv(kName, text, 1);
    EXPECT_EQ(cuda::read_provider(kName), provider) << text;
  }
  setenv(kName, "fastest", 1);
  EXPECT_THROW(cuda::read_provider(kName), ConfigError);
  unsetenv(kName);
}

TEST(CudnnPlanRules, ByNumericalNotes) {
  using Notes = std::vector<int64_t>;
  const Notes none, random{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
  EXPECT_TRUE(allowed(none, {true, true}));
  EXPECT_FALSE(allowed(random, {true, false}));
  EXPECT_TRUE(allowed(random, {false, false}));
  for (const int64_t note :
       {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
        CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
        CUDNN_NUMERICAL_NOTE_WINOGRAD}) {
    EXPECT_FALSE(allowed(Notes{note}, {true, true})) << note;
    EXPECT_TRUE(allowed(Notes{note}, {true, false})) << note;
  }
}

TEST(CudnnAlignment, IsThatOfTheWorstPointer) {
  const auto at = [](uintptr_t address) { return reinterpret_cast<const void*>(address); };
  EXPECT_EQ(alignment_of({at(4096), at(64), nullptr}), 16);
  EXPECT_EQ(alignment_of({at(4096), at(72)}), 8);
  EXPECT_EQ(alignment_of({at(4098), at(72)}), 2);
}

}  // namespace
}  // namespace sing::test
