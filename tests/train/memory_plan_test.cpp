// The plan rehearses what a run does, so it must come out as the run itself.
#include "sing/train/memory_plan.h"

#include <gtest/gtest.h>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using backend::MemoryPurpose;

std::vector<std::string> overrides_of(int64_t batch_size) {
  return {"model.dim=64",         "model.patch=4",
          "model.num_heads=4",    "model.depth=3",
          "data.train_size=1000", "train.accumulate=1",
          "train.duration=4st",   "data.batch_size=" + std::to_string(batch_size)};
}

train::ExperimentConfig config_of(const std::vector<std::string>& overrides) {
  return test::load_text(test::toy_config(), overrides).config;
}

TEST(MemoryPlan, IsThePeakOfTheArena) {
  for (const int64_t batch_size : {8, 24, 96}) {
    const auto planned =
        static_cast<double>(train::plan_memory(config_of(overrides_of(batch_size))).tensors());
    backend::DeviceRuntime& runtime = backend::runtime({});
    const int64_t before = runtime.memory().in_use;
    runtime.reset_peak();
    test::ToyRun(overrides_of(batch_size)).trainer->run();
    const auto peak = static_cast<double>(runtime.memory().peak - before);
    // Every tensor is in the plan; workspaces within kernels and the pieces a loader makes are not.
    EXPECT_LE(planned, peak) << batch_size;
    EXPECT_GT(planned, 0.9 * peak) << batch_size;
  }
}

TEST(MemoryPlan, NamesWhatARunHoldsForEachPurpose) {
  const train::MemoryPlan plan = train::plan_memory(config_of(overrides_of(8)));
  test::ToyRun run(overrides_of(8));
  const backend::MemoryTable table = backend::memory_table({});
  EXPECT_EQ(plan.weights, table[MemoryPurpose::weights]);
  EXPECT_EQ(plan.gradients, table[MemoryPurpose::gradients]);
  EXPECT_EQ(plan.optimizer, table[MemoryPurpose::optimizer]);
  // Beside the batches there are constants of the data set.
  EXPECT_LE(plan.batches, table[MemoryPurpose::others]);
  EXPECT_GT(plan.batches, table[MemoryPurpose::others] - 2048);
  int64_t trained = 0;
  for (const nn::Parameter* p : run.experiment.model().parameters()) trained += p->value.numel();
  // Weights, two moments and LookAhead's copy in f32, a few numbers beside them.
  EXPECT_GE(plan.checkpoint, 4 * 4 * trained);
  EXPECT_LT(plan.checkpoint, 4 * 4 * trained + 4096);
}

TEST(MemoryPlan, TakesNothingAndLeavesNothing) {
  const backend::MemoryStatistics before = backend::runtime({}).memory();
  // Larger than any machine this may run on.
  const train::MemoryPlan plan = train::plan_memory(
      config_of({"model.dim=4096", "model.depth=24", "model.num_heads=64", "model.patch=4"}), 4096);
  EXPECT_GT(plan.total(), int64_t{1} << 40);
  const backend::MemoryStatistics after = backend::runtime({}).memory();
  EXPECT_EQ(after.in_use, before.in_use);
  EXPECT_EQ(after.reserved, before.reserved);
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.requests, before.requests);
}

TEST(MemoryPlan, GrowsWithTheBatchAndShrinksWithRecomputation) {
  const train::ExperimentConfig config = config_of(overrides_of(24));
  const train::MemoryPlan own = train::plan_memory(config);
  EXPECT_EQ(train::plan_memory(config, 24).total(), own.total());
  const train::MemoryPlan larger = train::plan_memory(config, 48);
  EXPECT_GT(larger.activations, 1.8 * static_cast<double>(own.activations));
  EXPECT_GT(larger.batches, own.batches);
  EXPECT_EQ(larger.optimizer, own.optimizer);
  std::vector<std::string> again = overrides_of(24);
  again.emplace_back("train.recompute=all");
  EXPECT_LT(train::plan_memory(config_of(again)).activations, own.activations);
  // A large evaluation beside the training is in it as well.
  std::vector<std::string> evaluated = overrides_of(24);
  evaluated.insert(evaluated.end(), {"eval.batch_size=1000", "data.test_size=1000"});
  EXPECT_GT(train::plan_memory(config_of(evaluated)).reserve, own.reserve);
}

TEST(MemoryPlan, LeavesValuesAlone) {
  // And kernels of this thread run again after it.
  const Tensor kept = Tensor::full({1000}, 2);
  train::plan_memory(config_of({}));
  EXPECT_EQ(kept.to_vector(), std::vector<double>(1000, 2.0));
  EXPECT_EQ(Tensor::full({}, 3).item(), 3);
}

}  // namespace
}  // namespace sing
