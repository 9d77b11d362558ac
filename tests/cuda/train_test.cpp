// Training on the device: against the CPU, with and without the graph, and over every seam.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

#include "sing/backend/profile.h"
#include "sing/core/error.h"
#include "support/toy_experiment.h"

namespace sing::test {
namespace {

using train::Event;
using train::Outcome;
using train::Trainer;

constexpr Device kCuda{DeviceType::cuda, 0};
const double kNan = std::numeric_limits<double>::quiet_NaN();
using Words = std::vector<std::string>;

/// A convolution net with batch norm; 10 pictures in batches of 4, so that each epoch ends short.
const char* conv_config() {
  return R"(version: 1
seed: 3
model: {name: resnet18, width: 4, stem: cifar}
data: {name: synthetic_images, size: 8, classes: 3, train_size: 10, test_size: 4, batch_size: 4, workers: 1}
loss: cross_entropy
optimizer:
  transforms: [sing]
  host: {name: sgd, lr: 1e-2, momentum: 0.9}
train: {duration: 3ep, threads: 1}
eval: {every: 3ep, metrics: [accuracy], batch_size: 4}
)";
}

/// Loss of every step, read without holding the device up more than it wants.
std::vector<double> losses(ToyRun& run) {
  std::vector<double> result;
  run.trainer->add(std::make_shared<OnEvent>([&result](Event event, Trainer& trainer) {
    if (event == Event::step_end) result.push_back(trainer.counters().loss);
  }));
  EXPECT_EQ(run.trainer->run(), Outcome::finished);
  return result;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& wanted, double bound) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], bound * (1 + std::abs(wanted[i]))) << "step " << i + 1;
}

void expect_same_state(ToyRun& a, ToyRun& b, const std::string& where = {}) {
  const train::CheckpointContents x = a.snapshot(), y = b.snapshot();
  EXPECT_THAT(differences(x.model, y.model), ::testing::IsEmpty()) << where;
  EXPECT_THAT(differences(x.optimizer, y.optimizer), ::testing::IsEmpty()) << where;
}

// f32 on both sides; sums are taken in other orders, so losses differ by some ulps (5e-8 were seen
// after six updates). 1e-5 leaves room for a device's own exp and erf.
TEST(CudaTraining, VitLossesAreThoseOfTheCpu) {
  ToyRun cpu, cuda({}, 1, kCuda);
  expect_close(losses(cuda), losses(cpu), 1e-5);
}

TEST(CudaTraining, ConvNetLossesAreThoseOfTheCpu) {
  // Batch norm over the four values of a channel in the last stage makes gradients of norm 75 and
  // doubles differences in each step of usual length, and SING's steps of fixed length turn
  // rounding into signs: so short steps without it, and no batch of two. 1e-3 is fifty times what
  // was seen.
  const Words words = {"data.train_size=12", "optimizer.transforms=[]", "optimizer.host.lr=1e-5"};
  ToyRun cpu(words, 1, {}, conv_config()), cuda(words, 1, kCuda, conv_config());
  expect_close(losses(cuda), losses(cpu), 1e-3);
  EXPECT_EQ(cuda.experiment.model().buffers().back().tensor.item(), 9)
      << "batches counted on the device";
}

TEST(CudaTraining, PicturesMadeOnTheDeviceChangeNothing) {
  ToyRun there({}, 1, kCuda), here({"data.on_device=off"}, 1, kCuda);
  EXPECT_TRUE(there.loader->dataset().fields().empty());
  EXPECT_FALSE(here.loader->dataset().fields().empty());
  there.trainer->run();
  here.trainer->run();
  expect_same_state(there, here);
}

/// 22 samples in batches of 4: five whole windows an epoch and a short one that is queued op by op.
const Words kPlain = {"train.accumulate=1", "train.duration=3ep"};
const Words kAccumulated = {"train.accumulate=2", "train.duration=4ep"};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(CudaGraph, ReplaysGiveTheSameBits) {
  for (const Words& words : {kPlain, kAccumulated}) {
    ToyRun graph(words, 1, kCuda), eager(with(words, {"train.graph=off"}), 1, kCuda);
    graph.trainer->run();
    eager.trainer->run();
    EXPECT_GT(graph.trainer->graph_nodes(), 50);
    EXPECT_EQ(eager.trainer->graph_nodes(), 0);
    expect_same_state(graph, eager, words.front());
  }
}

TEST(CudaGraph, BatchNormAndItsStatisticsAreReplayed) {
  const Words longer = {"train.duration=3ep"};
  ToyRun graph(longer, 1, kCuda, conv_config());
  ToyRun eager(with(longer, {"train.graph=off"}), 1, kCuda, conv_config());
  graph.trainer->run();
  eager.trainer->run();
  EXPECT_GT(graph.trainer->graph_nodes(), 100);
  expect_same_state(graph, eager);
}

// Hosts with sums over tensors and with products do not make the device wait either.
TEST(CudaGraph, HostsWithSumsAreReplayed) {
  for (const char* host :
       {"lamb, lr: 1e-3", "muon, lr: 1e-2", "adafactor, lr: 1e-3, relative_step: false"}) {
    const Words words =
        with(kPlain, {"train.duration=2ep", "optimizer.host={name: " + std::string(host) + "}"});
    ToyRun graph(words, 1, kCuda), eager(with(words, {"train.graph=off"}), 1, kCuda);
    graph.trainer->run();
    eager.trainer->run();
    EXPECT_GT(graph.trainer->graph_nodes(), 50) << host;
    expect_same_state(graph, eager, host);
  }
}

TEST(CudaGraph, ACallbackInsideTheStepKeepsItApart) {
  ToyRun run(kPlain, 1, kCuda);
  run.trainer->add(std::make_shared<OnEvent>([](Event, Trainer&) {}));
  run.trainer->run();
  EXPECT_EQ(run.trainer->graph_nodes(), 0);
}

TEST(CudaGraph, ResumeAtEveryStep) {
  ToyRun whole(kPlain, 1, kCuda);
  whole.trainer->run();
  // In the first, eager steps; between replays; behind a short batch; at a step that is settled
  // anyway.
  for (const int64_t stop : {2, 5, 6, 8, 13}) {
    train::CheckpointContents saved;
    {
      ToyRun first(kPlain, 1, kCuda);
      train::TrainerOptions options = first.trainer->options();
      options.max_steps = stop;
      Trainer trainer(options, first.experiment.model(), first.experiment.loss(), *first.loader,
                      *first.optimizer);
      EXPECT_EQ(trainer.run(), Outcome::max_steps);
      EXPECT_EQ(trainer.counters().step, stop);
      saved = train::checkpoint_contents(trainer);
    }
    ToyRun second(kPlain, 1, kCuda);
    train::restore_checkpoint(*second.trainer, saved);
    second.trainer->run();
    expect_same_state(whole, second, "stopped behind step " + std::to_string(stop));
  }
}

/// A checkpoint of one device goes on on the other.
TEST(CudaTraining, CheckpointsFitBothDevices) {
  ToyRun cuda(kPlain, 1, kCuda);
  cuda.trainer->run();
  const train::CheckpointContents saved = cuda.snapshot();
  ToyRun cpu(kPlain);
  train::restore_checkpoint(*cpu.trainer, saved);
  EXPECT_THAT(differences(cpu.snapshot().model, saved.model), ::testing::IsEmpty());
  EXPECT_EQ(cpu.trainer->counters().step, 18);
}

/// Plants a NaN in a gradient right behind update number `step`, so that the next one meets it.
std::shared_ptr<Watch> plant(int64_t step) {
  auto done = std::make_shared<bool>(false);
  return std::make_shared<Watch>([=](Event event, Trainer& trainer) {
    if (event != Event::step_end || trainer.counters().step != step || *done) return;
    *done = true;
    trainer.optimizer().table().gradient(3).fill(kNan);
  });
}

TEST(CudaNonFinite, StopKeepsTheLastGoodWeights) {
  for (const char* graph : {"train.graph=auto", "train.graph=off"})
    for (const int64_t step : {7, 9}) {  // replays; beside a step that is looked at
      const Words words = with(kPlain, {graph, "train.duration=2ep"});
      ToyRun good(words, 1, kCuda);
      train::TrainerOptions options = good.trainer->options();
      options.max_steps = step;
      Trainer until(options, good.experiment.model(), good.experiment.loss(), *good.loader,
                    *good.optimizer);
      until.run();
      const train::CheckpointContents wanted = train::checkpoint_contents(until);

      ToyRun run(words, 1, kCuda);
      run.trainer->add(plant(step));
      try {
        run.trainer->run();
        FAIL() << step;
      } catch (const DivergedError& error) {
        EXPECT_EQ(error.code(), "E0501");
        EXPECT_THAT(error.what(),
                    ::testing::HasSubstr("weights are those of step " + std::to_string(step)));
        EXPECT_THAT(error.where(), ::testing::HasSubstr(run.optimizer->table().meta(3).name));
      }
      const train::CheckpointContents got = run.snapshot();
      EXPECT_THAT(differences(got.model, wanted.model), ::testing::IsEmpty()) << step;
      EXPECT_EQ(run.trainer->counters().step, step);
      EXPECT_EQ(run.trainer->counters().micro, 0);
    }
}

TEST(CudaNonFinite, StopKeepsTheStatisticsOfBatchNorm) {
  const Words words = {"train.duration=3ep"};
  ToyRun good(words, 1, kCuda, conv_config());
  train::TrainerOptions options = good.trainer->options();
  options.max_steps = 7;
  Trainer until(options, good.experiment.model(), good.experiment.loss(), *good.loader,
                *good.optimizer);
  until.run();
  ToyRun run(words, 1, kCuda, conv_config());
  run.trainer->add(plant(7));
  EXPECT_THROW(run.trainer->run(), DivergedError);
  EXPECT_THAT(differences(run.snapshot().model, train::checkpoint_contents(until).model),
              ::testing::IsEmpty());
}

TEST(CudaNonFinite, SkipLeavesOneUpdateOut) {
  ToyRun run(with(kPlain, {"train.on_nonfinite=skip"}), 1, kCuda);
  Words warnings;
  run.trainer->warn = [&](const std::string& code, const std::string&) {
    warnings.push_back(code);
  };
  run.trainer->add(plant(10));
  EXPECT_EQ(run.trainer->run(), Outcome::finished);
  EXPECT_EQ(run.trainer->counters().skipped, 1);
  EXPECT_EQ(run.trainer->counters().step, 18);
  EXPECT_EQ(run.trainer->counters().samples, 3 * 22);
  EXPECT_THAT(warnings, ::testing::ElementsAre("W0501"));
  for (const nn::Parameter* parameter : run.experiment.model().parameters())
    for (const double value : parameter->value.to_vector()) ASSERT_TRUE(std::isfinite(value));
}

/// The weights themselves are bad: the loss says so.
TEST(CudaNonFinite, ALossThatIsNotFinite) {
  ToyRun run(kPlain, 1, kCuda);
  run.trainer->add(std::make_shared<Watch>([](Event event, Trainer& trainer) {
    if (event == Event::step_end && trainer.counters().step == 9)
      trainer.model().parameters()[2]->value.fill(kNan);
  }));
  try {
    run.trainer->run();
    FAIL();
  } catch (const DivergedError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("loss became NaN at step 10"));
    EXPECT_THAT(error.where(),
                ::testing::HasSubstr("weight " + run.experiment.model().parameters()[2]->name));
  }
}

TEST(CudaTraining, PoliciesThatMustKnowTheLossWaitForIt) {
  ToyRun waits(with(kPlain, {"train.spike.policy=skip"}), 1, kCuda), queues(kPlain, 1, kCuda);
  waits.trainer->run();
  queues.trainer->run();
  EXPECT_EQ(waits.trainer->graph_nodes(), 0);
  EXPECT_THAT(differences(waits.snapshot().model, queues.snapshot().model), ::testing::IsEmpty());
}

/// At its beginning, and once all was recorded: nothing of it must be left.
TEST(CudaGraph, ARefusedCaptureIsOneWarning) {
  for (const Words& words : {kPlain, kAccumulated}) {
    ToyRun eager(with(words, {"train.graph=off"}), 1, kCuda);
    eager.trainer->run();
    for (const char* where : {"begin", "end"}) {
      setenv("SING_EMULATOR_NO_CAPTURE", where, 1);
      ToyRun run(words, 1, kCuda);
      Words warnings;
      run.trainer->warn = [&](const std::string& code, const std::string&) {
        warnings.push_back(code);
      };
      run.trainer->run();
      unsetenv("SING_EMULATOR_NO_CAPTURE");
      EXPECT_THAT(warnings, ::testing::ElementsAre("W0225"));
      expect_same_state(run, eager, where);
    }
  }
}

/// Kernels are loaded by their first launch. RAdam begins with another update than it goes on with;
/// with these betas it changes in step 7, which is a whole window.
TEST(CudaGraph, NoKernelIsLaunchedFirstInACapture) {
  const Words radam = with(kPlain, {"optimizer.host={name: radam, lr: 1e-2, betas: [0.9, 0.8]}"});
  for (const Words& words : {kPlain, kAccumulated, radam}) {
    setenv("SING_EMULATOR_LAZY", "1", 1);
    ToyRun run(words, 1, kCuda);
    Words warnings;
    run.trainer->warn = [&](const std::string& code, const std::string& text) {
      warnings.push_back(code + text);
    };
    run.trainer->run();
    unsetenv("SING_EMULATOR_LAZY");
    EXPECT_THAT(warnings, ::testing::IsEmpty());
    EXPECT_GT(run.trainer->graph_nodes(), 50);
    ToyRun eager(with(words, {"train.graph=off"}), 1, kCuda);
    eager.trainer->run();
    expect_same_state(run, eager, words.back());
  }
}

TEST(CudaTraining, AProfileHasTimesOfTheDevice) {
  backend::Profile profile(kCuda);
  ToyRun run(with(kPlain, {"train.duration=2st"}), 1, kCuda);
  run.trainer->run();
  const backend::ProfileRecord record = profile.finish();
  EXPECT_GT(record.shortest, 0);
  int updates = 0;
  for (const backend::ProfileSpan& span : record.spans) {
    EXPECT_LE(span.device_begin, span.device_end) << span.name;
    updates += std::string(span.name) == "update";
  }
  EXPECT_EQ(updates, 2);
  double last = 0;
  std::set<std::string> names;
  for (const backend::ProfileLaunch& launch : record.launches) {
    EXPECT_LE(launch.begin, launch.end) << launch.name;
    names.insert(launch.name);
    if (launch.stream != 0) continue;
    EXPECT_LE(last, launch.begin) << launch.name << ": one after the other";
    last = launch.end;
    if (launch.span < 0) continue;
    const backend::ProfileSpan& span = record.spans[static_cast<size_t>(launch.span)];
    EXPECT_LE(span.device_begin, launch.begin) << span.name;
    EXPECT_GE(span.device_end, launch.end) << span.name;
  }
  EXPECT_GT(record.launches.size(), 100u);
  for (const char* name : {"copy", "fill", "copy host to device"}) EXPECT_TRUE(names.count(name));
  // Kernels by their own names, and nothing of theirs that a reader could do without.
  EXPECT_THAT(names, ::testing::Contains(::testing::StartsWith("forward_kernel<")));
  EXPECT_THAT(names, ::testing::Contains(::testing::StartsWith("update_kernel<")));
  for (const std::string& name : names)
    EXPECT_THAT(name, ::testing::Not(::testing::HasSubstr("sing::")));
}

}  // namespace
}  // namespace sing::test
