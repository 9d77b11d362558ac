// kill -9, signals and locks, on the real program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sing/tensor/safetensors.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/metrics_log.h"
#include "support/program.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::Program;
using test::run_program;
using test::TemporaryFolder;

/// A toy config in a folder of its own, and the words that run it.
struct Toy {
  explicit Toy(std::vector<std::string> overrides = {}) {
    std::ofstream(folder / "toy.yaml") << test::toy_config();
    words = {"-c", folder / "toy.yaml", "-o", folder / "runs", "--log-every", "0s"};
    words.insert(words.end(), overrides.begin(), overrides.end());
  }
  std::string latest() const { return folder / "runs/toy/latest"; }
  TemporaryFolder folder;
  std::vector<std::string> words;
};

void expect_same_end(const std::string& a, const std::string& b) {
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    const auto x = load_tensors(a + "/checkpoints/last/" + file);
    const auto y = load_tensors(b + "/checkpoints/last/" + file);
    EXPECT_THAT(test::differences(x, y), testing::IsEmpty()) << file;
  }
}

/// Training losses by step, superseded records dropped.
std::vector<std::pair<double, double>> losses(const std::string& run) {
  return train::series(train::read_metrics(run + "/metrics.jsonl"), "train/loss");
}

const std::vector<std::string> kLonger = {"train.duration=20ep", "checkpoint.every=3st"};

TEST(Kill, TwelveRandomMomentsLoseNothing) {
  const std::vector<std::string> long_run = {"train.duration=1200ep", "checkpoint.every=3st",
                                             "eval.every=300ep"};
  const Toy undisturbed(long_run);
  ASSERT_EQ(run_program("sing-train", undisturbed.words).code, 0);
  const Toy toy(long_run);
  int killed = 0;
  uint64_t word = 12345;  // fixed, so that a failure can be repeated; timing varies anyway
  while (killed < 12) {
    Program program("sing-train", toy.words);
    word = word * 6364136223846793005ull + 1442695040888963407ull;
    program.run_for(std::chrono::milliseconds(5 + (word >> 33) % 90));
    program.kill(SIGKILL);
    if (program.wait() == 0) break;  // it got through; nothing is left to kill
    ++killed;
  }
  EXPECT_EQ(killed, 12) << "the run is too short for this machine";
  const test::Finished last = run_program("sing-train", toy.words);
  ASSERT_EQ(last.code, 0) << last.error;
  // A run that had finished before is not continued: compare the newest folder that was.
  expect_same_end(undisturbed.latest(), toy.latest());
  EXPECT_EQ(losses(undisturbed.latest()), losses(toy.latest()));
  RecordProperty("kills", killed);
}

class StopInPhase
    : public testing::TestWithParam<std::pair<std::string, std::vector<std::string>>> {};

TEST_P(StopInPhase, SavesAndContinues) {
  const auto& [text, overrides] = GetParam();
  const Toy undisturbed(overrides);
  ASSERT_EQ(run_program("sing-train", undisturbed.words).code, 0);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const Toy toy(overrides);
    {
      Program program("sing-train", toy.words);
      ASSERT_TRUE(program.wait_for(text)) << program.error;
      program.kill(signal);
      const int code = program.wait();
      if (code == 0) continue;  // over before the signal came
      ASSERT_EQ(code, 75) << program.error;
    }
    const auto checkpoint = train::load_checkpoint(toy.latest() + "/checkpoints/last");
    const int64_t step = checkpoint.contents.state.at("numbers").at("counters/step").as_integer();
    EXPECT_EQ(checkpoint.step, step);
    const std::ifstream status(toy.latest() + "/status.json");
    std::stringstream content;
    content << status.rdbuf();
    EXPECT_THAT(content.str(), testing::HasSubstr("preempted"));
    EXPECT_THAT(content.str(), testing::HasSubstr("\"step\": " + std::to_string(step)));
    const test::Finished rest = run_program("sing-train", toy.words);
    ASSERT_EQ(rest.code, 0) << rest.error;
    expect_same_end(undisturbed.latest(), toy.latest());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Phases, StopInPhase,
    testing::Values(
        // The run line comes first: model, data and optimizer are not made yet.
        std::pair{std::string(" run "), kLonger}, std::pair{std::string("step=5/"), kLonger},
        // Nearly all the time goes into evaluation, or into saving.
        std::pair{std::string("eval"),
                  std::vector<std::string>{"data.test_size=3000", "eval.every=1st"}},
        std::pair{std::string("step=2/"), std::vector<std::string>{"model.dim=128", "model.depth=4",
                                                                   "checkpoint.every=1st"}}));

TEST(Stop, SecondSignalEndsAtOnce) {
  // Saving a large state takes a while: the second signal must not wait for it.
  const Toy toy(
      {"data.test_size=20000", "eval.every=1st", "data.workers=0", "eval.batch_size=20000"});
  Program program("sing-train", toy.words);
  ASSERT_TRUE(program.wait_for("step=1/"));
  program.kill(SIGTERM);
  program.run_for(std::chrono::milliseconds(5));
  program.kill(SIGTERM);
  const int code = program.wait();
  EXPECT_TRUE(code == 128 + SIGTERM || code == 75) << code;
}

TEST(Stop, TimeLimitSavesWithCode75) {
  const Toy toy({"train.max_time=0.05s", "train.duration=2000ep", "eval.every=2000ep",
                 "checkpoint.every=15min"});
  EXPECT_EQ(run_program("sing-train", toy.words).code, 75);
  EXPECT_EQ(run_program("sing-train", toy.words).code, 75);
  const auto points = losses(toy.latest());
  ASSERT_GT(points.size(), 2u);
  for (size_t i = 1; i < points.size(); ++i) EXPECT_EQ(points[i].first, points[i - 1].first + 1);
}

TEST(Lock, OneOfManyProceeds) {
  const Toy toy({"train.duration=4000ep", "eval.every=4000ep", "log.samples=0"});
  Program holder("sing-train", toy.words);
  ASSERT_TRUE(holder.wait_for("step=1/"));
  std::vector<std::unique_ptr<Program>> others;
  const std::string run = std::filesystem::canonical(toy.latest());
  for (int i = 0; i < 7; ++i)
    others.push_back(
        std::make_unique<Program>("sing-train", std::vector<std::string>{"--resume", run}));
  for (const auto& other : others) {
    EXPECT_EQ(other->wait(), 7) << other->error;
    EXPECT_THAT(other->error, testing::HasSubstr("error[E0701]"));
  }
  holder.kill(SIGTERM);
  EXPECT_EQ(holder.wait(), 75);
}

TEST(Resume, ChangedKeysAreRefusedByName) {
  const Toy toy;
  ASSERT_EQ(run_program("sing-train", toy.words).code, 0);
  std::vector<std::string> words = toy.words;
  for (const char* word : {"--resume", "", "data.batch_size=2", "model.dim=32", "data.workers=2"})
    words.emplace_back(word);
  words[words.size() - 4] = toy.latest();
  const test::Finished refused = run_program("sing-train", words);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.error, testing::HasSubstr("error[E0240]"));
  EXPECT_THAT(refused.error, testing::HasSubstr("data.batch_size"));
  EXPECT_THAT(refused.error, testing::HasSubstr("model.dim"));
  EXPECT_THAT(refused.error, testing::Not(testing::HasSubstr("data.workers ")));
}

TEST(Resume, AFinishedRunStartsAnewAndAnotherConfigToo) {
  const Toy toy;
  ASSERT_EQ(run_program("sing-train", toy.words).code, 0);
  const std::string first = std::filesystem::canonical(toy.latest());
  ASSERT_EQ(run_program("sing-train", toy.words).code, 0);
  EXPECT_NE(std::filesystem::canonical(toy.latest()), first);
  expect_same_end(first, toy.latest());
}

TEST(Resume, DamagedCheckpointIsPassedOver) {
  const Toy undisturbed(kLonger), toy(kLonger);
  ASSERT_EQ(run_program("sing-train", undisturbed.words).code, 0);
  {
    Program program("sing-train", toy.words);
    ASSERT_TRUE(program.wait_for("step=20/"));
    program.kill(SIGKILL);
    program.wait();
  }
  const std::string file = toy.latest() + "/checkpoints/last/optimizer.safetensors";
  std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
  damaged.seekp(-3, std::ios::end);
  damaged.put('\x55');
  damaged.close();
  const test::Finished rest = run_program("sing-train", toy.words);
  ASSERT_EQ(rest.code, 0) << rest.error;
  EXPECT_THAT(rest.error, testing::HasSubstr("W0402"));
  expect_same_end(undisturbed.latest(), toy.latest());
}

}  // namespace
}  // namespace sing
