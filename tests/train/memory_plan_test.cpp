#include "sing/train/memory_plan.h"

#include <gtest/gtest.h>

#include "sing/backend/runtime.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

TEST(MemoryPlan, IsThePeakOfTheArena) {
  for (const int64_t batch_size : {8, 24, 96}) {
    const std::vector<std::string> overrides = {
        "model.dim=64",         "model.patch=4",
        "model.num_heads=4",    "model.depth=3",
        "data.train_size=1000", "train.accumulate=1",
        "train.duration=4st",   "data.batch_size=" + std::to_string(batch_size)};
    double planned = 0;
    {
      train::Experiment experiment(test::load_text(test::toy_config(), overrides).config);
      planned = train::plan_memory(experiment).total(batch_size);
    }
    backend::DeviceRuntime& runtime = backend::runtime({});
    const int64_t before = runtime.memory().in_use;
    runtime.reset_peak();
    test::ToyRun(overrides).trainer->run();
    const double peak = static_cast<double>(runtime.memory().peak - before);
    // The arena rounds a block up by as much as a quarter, differently at each batch size.
    EXPECT_GT(planned, 0.85 * peak) << batch_size;
    EXPECT_LT(planned, 1.25 * peak) << batch_size;
  }
}

}  // namespace
}  // namespace sing
