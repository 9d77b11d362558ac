// After the first steps a training loop asks the system for nothing any more.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "sing/backend/runtime.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

#if !defined(__SANITIZE_ADDRESS__)  // there every tensor is an allocation of its own, on purpose
TEST(SteadyState, NoTensorMemoryRequestsAndNoPageFaults) {
  test::ToyRun run({"model.patch=4", "model.dim=64", "model.depth=4", "model.num_heads=4",
                    "data.train_size=3200", "data.batch_size=32", "train.accumulate=1",
                    "train.duration=200st"});
  constexpr int64_t kWarm = 60, kMeasured = 130;
  int64_t requests = 0, faults = 0;
  const auto look = [&](int64_t sign) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    requests += sign * backend::runtime({}).memory().requests;
    faults += sign * usage.ru_minflt;
  };
  run.trainer->add(
      std::make_shared<test::OnEvent>([&](train::Event event, train::Trainer& trainer) {
        if (event != train::Event::step_end) return;
        if (trainer.counters().step == kWarm) look(-1);
        if (trainer.counters().step == kWarm + kMeasured) look(1);
      }));
  run.trainer->run();
  EXPECT_EQ(requests, 0);
  // Not one fault a step. A few in all may still come from elsewhere in the process: a thread's
  // stack growing, the C library taking a page for small objects.
  EXPECT_LT(faults, kMeasured / 4);
}
#endif

}  // namespace
}  // namespace sing
