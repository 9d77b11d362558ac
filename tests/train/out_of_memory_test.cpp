// Out of memory (T2): one message that says where, what for and what fits; nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/memory_plan.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using backend::MemoryPurpose;
using ::testing::HasSubstr;

/// A run of two steps with an evaluation, pictures and checkpoints, in a folder of its own.
struct ShortRun {
  explicit ShortRun(const std::vector<std::string>& overrides = {})
      : loaded(test::load_text(test::toy_config(), overrides)) {
    options.output_root = folder.path();
    options.max_steps = 2;
    options.console.quiet = true;
  }
  train::SessionReport start() { return train::run_session(loaded, options); }

  test::TemporaryFolder folder;
  train::LoadedConfig loaded;
  train::SessionOptions options;
};

/// The error that a start of `run` ends with, if it does.
std::optional<OutOfMemoryError> failure(ShortRun& run) {
  try {
    run.start();
  } catch (const OutOfMemoryError& error) {
    return error;
  }
  return std::nullopt;
}

int64_t in_use() {
  return backend::runtime({}).memory().in_use;
}

TEST(OutOfMemory, EverySeventeenthAllocationFails) {
  ShortRun whole;
  const int64_t start = in_use();
  const int64_t first = backend::runtime({}).memory().allocations;
  whole.start();
  const int64_t allocations = backend::runtime({}).memory().allocations - first;
  ASSERT_EQ(in_use(), start);
  ASSERT_GT(allocations, 17 * 10);
  int failed = 0;
  std::string messages;
  for (int64_t n = 17; n <= allocations; n += 17) {
    SCOPED_TRACE("allocation " + std::to_string(n));
    ShortRun run;
    backend::fail_cpu_allocation(n);
    const std::optional<OutOfMemoryError> error = failure(run);
    backend::fail_cpu_allocation(0);
    EXPECT_EQ(in_use(), start);  // no leak
    if (!error) continue;        // the count differs a little from run to run: loader threads
    ++failed;
    messages += error->what() + std::string("\n");
    EXPECT_EQ(error->exit_code(), ExitCode::memory);
    EXPECT_THAT(error->where(), HasSubstr("activations "));
    // No partial file: whatever is there is whole, and the run goes on from it.
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run.folder.path()))
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr("tmp")));
    EXPECT_EQ(run.start().step, 2);
  }
  EXPECT_GT(failed, allocations / 17 - 4);
  // Which layer it was, on the way forward and on the way back.
  const auto names = [&](const char* pattern) {
    return std::regex_search(messages, std::regex(pattern));
  };
  EXPECT_TRUE(names(R"(step \d, forward, blocks\.0\.[\w.]+, \w+, \()")) << messages;
  EXPECT_TRUE(names(R"(step \d, backward, blocks\.0\.[\w.]+, \w+, \()")) << messages;
}

const std::vector<std::string> kLarger = {
    "model.dim=64",       "model.patch=4",       "model.num_heads=4",
    "model.depth=2",      "data.train_size=600", "data.batch_size=96",
    "train.accumulate=2", "eval.batch_size=8",   "checkpoint.every=100st"};

/// Lowers the limit of the arena while it lives.
class Limit {
 public:
  explicit Limit(int64_t bytes) { backend::limit_cpu_memory(bytes); }
  ~Limit() { backend::limit_cpu_memory(0); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;
};

#if !defined(__SANITIZE_ADDRESS__)  // there the arena keeps no blocks, and `reserved` is in use
TEST(OutOfMemory, TheProposedBatchSizeFitsUnderTheSameLimit) {
  // Two fifths of what the run needs, above what small blocks of earlier tests hold for ever.
  const int64_t before = in_use();
  backend::runtime({}).reset_peak();
  ShortRun(kLarger).start();
  const int64_t needed = backend::runtime({}).memory().peak - before;
  backend::limit_cpu_memory(0);
  const Limit limit(backend::runtime({}).memory().reserved + needed * 2 / 5);

  ShortRun run(kLarger);
  const std::optional<OutOfMemoryError> error = failure(run);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), "E0601");
  const std::string what = error->what(), where = error->where(), hint = error->hint();
  EXPECT_TRUE(std::regex_match(
      what, std::regex(
                R"(out of memory at step 1, (forward|backward), ([\w.]+, )?\w+, \([\d, ]+\) f32)")))
      << what;
  EXPECT_TRUE(std::regex_search(where, std::regex(R"(^asked [\d.]+ [GMK]iB, free [\d.]+ of )")))
      << where;
  std::smatch words;
  ASSERT_TRUE(std::regex_search(
      hint, words, std::regex(R"(^fits: data.batch_size: (\d+) with train.accumulate: (\d+))")))
      << hint;
  const int64_t batch = std::stoll(words[1]), accumulate = std::stoll(words[2]);
  EXPECT_EQ(batch * accumulate, 96 * 2);  // the same update
  EXPECT_GE(batch, 16);                   // not needlessly small

  std::vector<std::string> smaller = kLarger;
  smaller.push_back("data.batch_size=" + words[1].str());
  smaller.push_back("train.accumulate=" + words[2].str());
  ShortRun second(smaller);
  EXPECT_EQ(second.start().step, 2);
  if (hint.find("train.recompute: all") != std::string::npos) {
    std::vector<std::string> again = kLarger;
    again.push_back("train.recompute=all");
    EXPECT_EQ(ShortRun(again).start().step, 2);
  }
}

TEST(OutOfMemory, WhenNothingFitsItSaysSo) {
  const Limit limit(backend::runtime({}).memory().in_use + (1 << 18));
  ShortRun run({"model.dim=256", "model.depth=4"});
  const std::optional<OutOfMemoryError> error = failure(run);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->exit_code(), ExitCode::memory);
  EXPECT_THAT(error->hint(), ::testing::Not(HasSubstr("fits: data")));
}
#endif

TEST(OutOfMemory, AnEvaluationIsToldWhatFits) {
  train::Experiment experiment(test::load_text(test::toy_config()).config);
  experiment.initialize_model();
  EXPECT_EQ(train::what_fits_in_evaluation(experiment), "fits: eval.batch_size: 2");
  // The largest below the configured 4 that divides it; with a planted failure the next.
  backend::fail_cpu_allocation(8);
  EXPECT_EQ(train::what_fits_in_evaluation(experiment), "fits: eval.batch_size: 1");
  backend::fail_cpu_allocation(0);
}

TEST(OutOfMemory, TheTableAddsUp) {
  std::vector<std::string> two_steps = kLarger;
  two_steps.push_back("train.duration=2st");
  test::ToyRun run(two_steps);
  int checked = 0;
  run.trainer->add(std::make_shared<test::OnEvent>([&](train::Event event, train::Trainer& t) {
    if (event != train::Event::step_end) return;
    const backend::MemoryTable table = backend::memory_table({});
    int64_t sum = 0;
    for (const int64_t bytes : table.bytes) sum += bytes;
    EXPECT_EQ(sum, table.total);
    EXPECT_EQ(sum, in_use());
    int64_t trained = 0, padded = 0;
    for (size_t i = 0; i < t.optimizer().table().size(); ++i) {
      trained += 4 * t.optimizer().table().meta(i).numel();
      padded += 64;
    }
    // Blocks are rounded up by at most a quarter, and to 256 bytes.
    EXPECT_GE(table[MemoryPurpose::gradients], trained);
    EXPECT_LE(table[MemoryPurpose::gradients], (trained + padded) * 5 / 4 + 256);
    EXPECT_GE(table[MemoryPurpose::weights], trained);
    EXPECT_GE(table[MemoryPurpose::optimizer], 3 * trained);  // two moments, LookAhead's copy
    EXPECT_LE(table[MemoryPurpose::optimizer], 4 * trained);
    EXPECT_EQ(table[MemoryPurpose::workspace], 0);  // between kernels
    EXPECT_GT(table[MemoryPurpose::others], 0);     // the loader's batches
    ++checked;
  }));
  run.trainer->run();
  EXPECT_EQ(checked, 2);
}

}  // namespace
}  // namespace sing
