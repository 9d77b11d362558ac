// What the trainer does about NaN, Inf and spikes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sing/core/error.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::OnEvent;
using test::ToyRun;
using train::Event;
using train::Outcome;
using train::Trainer;

enum class Place { weight, gradient, input };

/// Plants a bad value once, at the given micro-step (1-based).
std::shared_ptr<OnEvent> plant(Place place, int at, double value, int times = 1) {
  auto seen = std::make_shared<int>(0);
  return std::make_shared<OnEvent>([=](Event event, Trainer& trainer) {
    // The epoch begins or the micro-step before has ended: the next forward pass meets the value.
    const bool now = event == Event::loss_ready ? ++*seen >= at - 1 && *seen < at - 1 + times
                                                : event == Event::run_begin && at == 1;
    if (!now) return;
    if (place == Place::gradient) {
      optim::ParamTable& table = trainer.optimizer().table();
      table.gradient(3).fill(value);
      table.set_present(3, true);
    } else {
      trainer.model().parameters()[2]->value.fill(value);
    }
  });
}

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInf = std::numeric_limits<double>::infinity();

TEST(NonFinite, StopKeepsTheLastGoodWeights) {
  for (const double value : {kNan, kInf}) {
    for (const int at : {2, 5, 17}) {  // in the first window, mid-run, in the last window
      ToyRun run;
      train::CheckpointContents good;
      run.trainer->add(std::make_shared<OnEvent>([&](Event event, Trainer&) {
        if (event == Event::step_end || event == Event::run_begin) good = run.snapshot();
      }));
      run.trainer->add(plant(Place::gradient, at, value));
      try {
        run.trainer->run();
        FAIL() << at;
      } catch (const DivergedError& error) {
        EXPECT_EQ(error.code(), "E0501");
        EXPECT_EQ(error.exit_code(), ExitCode::diverged);
        EXPECT_THAT(error.what(), testing::HasSubstr("weights are those of step " +
                                                     std::to_string((at - 1) / 3)));
        EXPECT_THAT(error.where(), testing::HasSubstr(run.optimizer->table().meta(3).name));
      }
      EXPECT_THAT(test::differences(run.snapshot().model, good.model), testing::IsEmpty());
      EXPECT_EQ(run.trainer->counters().micro, 0);
    }
  }
}

TEST(NonFinite, ABadWeightIsNamed) {
  ToyRun run;
  run.trainer->add(plant(Place::weight, 5, kNan));
  try {
    run.trainer->run();
    FAIL();
  } catch (const DivergedError& error) {
    EXPECT_THAT(error.where(),
                testing::HasSubstr("weight " + run.experiment.model().parameters()[2]->name));
  }
}

TEST(NonFinite, SkipLeavesTheUpdateOutAndGoesOn) {
  ToyRun run({"train.on_nonfinite=skip"});
  std::vector<std::string> warnings;
  run.trainer->warn = [&](const std::string& code, const std::string&) {
    warnings.push_back(code);
  };
  run.trainer->add(plant(Place::gradient, 5, kNan));
  EXPECT_EQ(run.trainer->run(), Outcome::finished);
  EXPECT_EQ(run.trainer->counters().skipped, 1);
  EXPECT_EQ(run.trainer->counters().step, 6);
  EXPECT_EQ(run.trainer->counters().samples, 3 * 22);
  EXPECT_THAT(warnings, testing::ElementsAre("W0501"));
  for (const nn::Parameter* parameter : run.experiment.model().parameters())
    for (const double value : parameter->value.to_vector()) ASSERT_TRUE(std::isfinite(value));
}

TEST(NonFinite, SkipsAreBounded) {
  ToyRun run({"train.on_nonfinite=skip", "train.duration=20ep"});
  run.trainer->add(plant(Place::gradient, 2, kNan, 1000));
  try {
    run.trainer->run();
    FAIL();
  } catch (const DivergedError& error) {
    EXPECT_EQ(error.code(), "E0502");
    EXPECT_EQ(run.trainer->counters().skipped, 10);
  }
}

TEST(NonFinite, RollbackReplaysAndPassesTheWindowOver) {
  ToyRun run({"train.on_nonfinite=rollback"});
  train::CheckpointContents last = run.snapshot();
  run.trainer->add(std::make_shared<OnEvent>([&](Event event, Trainer& trainer) {
    if (event == Event::step_end && trainer.counters().step % 2 == 0) last = run.snapshot();
  }));
  run.trainer->restore_last = [&] {
    train::restore_checkpoint(*run.trainer, last);
    return true;
  };
  std::vector<double> used;  // first sample of each window that was trained on, by step
  // In epoch 0, third window of micro-steps: bad whenever these samples come.
  auto bad_first = std::make_shared<double>(-1);
  run.trainer->add(std::make_shared<OnEvent>([&, bad_first](Event event, Trainer& trainer) {
    if (event != Event::gradients_ready) return;
    if (trainer.counters().step != 3) return;
    const double id = trainer.batch().at("index").to_vector()[0];
    if (*bad_first < 0) *bad_first = id;
    if (id == *bad_first) {
      trainer.optimizer().table().gradient(0).fill(kNan);
      used.push_back(id);
    }
  }));
  EXPECT_EQ(run.trainer->run(), Outcome::finished);
  EXPECT_EQ(run.trainer->counters().rollbacks, 1);
  EXPECT_EQ(used.size(), 1u) << "the window must not be tried again";
  EXPECT_EQ(run.trainer->counters().step, 6);
}

TEST(Spikes, AreMarkedAndTheBatchKept) {
  ToyRun run({"train.duration=120st", "train.spike.factor=3"});
  std::vector<std::string> kept, warnings;
  run.trainer->keep_batch = [&](const char* what) {
    kept.push_back(what);
    return "somewhere";
  };
  run.trainer->warn = [&](const std::string& code, const std::string& text) {
    warnings.push_back(code);
    EXPECT_THAT(text, testing::HasSubstr("batch kept in somewhere"));
  };
  run.trainer->add(std::make_shared<OnEvent>([](Event event, Trainer& trainer) {
    // A weight far off makes the next losses large.
    if (event == Event::step_end && trainer.counters().step == 110)
      trainer.model().find_parameter("head.bias")->value.fill(5);
  }));
  run.trainer->run();
  EXPECT_GE(run.trainer->counters().spikes, 1);
  ASSERT_FALSE(warnings.empty());
  EXPECT_EQ(warnings.front(), "W0512");
  EXPECT_EQ(kept.front(), "spike");
}

TEST(Spikes, StopPolicyEndsWithoutTheUpdate) {
  ToyRun run({"train.duration=120st", "train.spike.policy=stop", "train.spike.factor=3"});
  train::CheckpointContents good;
  run.trainer->add(std::make_shared<OnEvent>([&](Event event, Trainer& trainer) {
    if (event == Event::step_end && trainer.counters().step == 110) {
      trainer.model().find_parameter("head.bias")->value.fill(5);
      good = run.snapshot();
    }
  }));
  EXPECT_THROW(run.trainer->run(), DivergedError);
  EXPECT_THAT(test::differences(run.snapshot().model, good.model), testing::IsEmpty());
}

}  // namespace
}  // namespace sing
