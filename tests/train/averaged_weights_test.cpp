// Evaluation with averaged weights: what is measured, and that training never notices.
#include "sing/train/averaged_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "sing/core/error.h"
#include "sing/nn/norm.h"
#include "sing/train/load_weights.h"
#include "sing/train/metrics_log.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::TemporaryFolder;
using ::testing::IsEmpty;
using Tensors = std::map<std::string, Tensor>;

/// A small network with batch norm on generated pictures: 5 updates an epoch, the last batch short.
constexpr const char* kBatchNormRun = R"(version: 1
seed: 3
model: {name: resnet18, width: 4, stem: cifar}
data: {name: synthetic_images, size: 8, channels: 1, classes: 3, train_size: 36, test_size: 24,
       batch_size: 8, workers: 1}
loss: cross_entropy
optimizer:
  host: {name: adamw, lr: 3e-3}
train: {duration: 3ep, threads: 1}
eval: {every: 1ep, metrics: [cross_entropy, accuracy]}
checkpoint: {every: 4st, keep_last: 100}
log: {every: 1st}
)";

struct Averaging {
  const char* name;
  std::vector<std::string> overrides;
};
const std::vector<Averaging>& averagings() {
  static const std::vector<Averaging> all = {
      {"ema", {"optimizer.ema={decay: 0.8}"}},
      {"swa", {"optimizer.swa={start: 4st, every: 2st}"}},
      {"schedule_free", {"optimizer.host={name: schedulefree_adamw, lr: 3e-3}"}},
  };
  return all;
}

class Averaged : public ::testing::TestWithParam<Averaging> {
 protected:
  struct Options {
    std::string name = "run";
    std::optional<int64_t> max_steps;
    std::vector<std::string> overrides;
  };
  /// Trains (on), returns the run's folder.
  std::string train(const Options& options) const {
    std::vector<std::string> overrides = GetParam().overrides;
    overrides.insert(overrides.end(), options.overrides.begin(), options.overrides.end());
    train::SessionOptions session;
    session.output_root = folder_ / "runs";
    session.name = options.name;
    session.max_steps = options.max_steps;
    session.console.quiet = true;
    return train::run_session(test::load_text(kBatchNormRun, overrides), session).folder;
  }
  static train::LoadedCheckpoint last(const std::string& run) {
    return train::load_checkpoint(run + "/checkpoints/last");
  }
  /// Weights, buffers and everything the optimizer keeps.
  static Tensors training_state(const std::string& run) {
    train::LoadedCheckpoint checkpoint = last(run);
    Tensors all = checkpoint.contents.model;
    for (const auto& entry : checkpoint.contents.optimizer)
      if (!entry.first.starts_with("averaged/")) all.insert(entry);
    return all;
  }
  static std::vector<std::pair<double, double>> metric(const std::string& run,
                                                       const std::string& name) {
    return train::series(train::read_metrics(run + "/metrics.jsonl"), name);
  }
  /// Cross entropy of a checkpoint as `sing eval` measures it.
  static double measured(const std::string& run, const std::string& checkpoint,
                         std::optional<train::Weights> wanted = std::nullopt,
                         const std::vector<std::string>& overrides = {}) {
    const train::LoadedConfig loaded = train::load_run_config(run, overrides);
    train::Experiment experiment(loaded.config);
    train::load_weights(experiment, run + "/checkpoints/" + checkpoint, wanted);
    train::EvalRequest request(experiment.batches());
    request.dataset = experiment.source().open(data::Split::test);
    return train::evaluate(experiment.model(), experiment.measures(), experiment.measure_names(),
                           request)
        .values.at(0)
        .value;
  }

  TemporaryFolder folder_;
};

TEST_P(Averaged, EvaluationChangesNoBitOfTraining) {
  const std::string seldom = train({.name = "seldom", .overrides = {"eval.metrics=[]"}});
  const std::string often = train({.name = "often", .overrides = {"eval.every=1st"}});
  EXPECT_THAT(test::differences(training_state(seldom), training_state(often)), IsEmpty());
  EXPECT_EQ(metric(seldom, "train/loss"), metric(often, "train/loss"));
}

TEST_P(Averaged, ResumesBitwise) {
  const std::string whole = train({.name = "whole"});
  for (const int64_t stop : {3, 9}) {
    const std::string name = "stopped" + std::to_string(stop);
    train({.name = name, .max_steps = stop});
    const std::string resumed = train({.name = name});
    EXPECT_THAT(test::differences(last(whole).contents.model, last(resumed).contents.model),
                IsEmpty())
        << stop;
    EXPECT_THAT(test::differences(last(whole).contents.optimizer, last(resumed).contents.optimizer),
                IsEmpty())
        << stop;
    const auto before = metric(whole, "eval/test/cross_entropy");
    EXPECT_EQ(metric(resumed, "eval/test/cross_entropy").back(), before.back()) << stop;
  }
}

TEST_P(Averaged, MetricsAreThoseOfTheAverages) {
  const std::string run = train({});
  const auto during = metric(run, "eval/test/cross_entropy");
  ASSERT_EQ(during.size(), 3u);
  EXPECT_EQ(measured(run, "last"), during.back().second);
  EXPECT_EQ(measured(run, "last", train::Weights::averaged), during.back().second);
  EXPECT_NE(measured(run, "last", train::Weights::trained), during.back().second);
  // The best checkpoint is that of the best average.
  double best = during[0].second;
  for (const auto& point : during) best = std::min(best, point.second);
  EXPECT_EQ(train::load_checkpoint(run + "/checkpoints/best").score, best);
  EXPECT_EQ(measured(run, "best"), best);
}

TEST_P(Averaged, CheckpointsBetweenEvaluationsAreMeasuredAlike) {
  const std::string often = train({.name = "often", .overrides = {"eval.every=1st"}});
  const std::string seldom = train({.name = "seldom"});
  const auto during = metric(often, "eval/test/cross_entropy");
  for (const size_t step : {8, 12}) {
    ASSERT_EQ(during[step - 1].first, static_cast<double>(step));
    EXPECT_EQ(measured(seldom, train::checkpoint_name(static_cast<int64_t>(step))),
              during[step - 1].second);
  }
}

TEST_P(Averaged, TheLastCheckpointIsReadyWithoutMetricsToo) {
  // Step 15 is saved when it is done, before the end of the run is known.
  const std::string every = "checkpoint.every=5st";
  const std::string measuring = train({.name = "measuring", .overrides = {every}});
  const std::string blind = train({.name = "blind", .overrides = {every, "eval.metrics=[]"}});
  EXPECT_THAT(test::differences(last(measuring).contents.optimizer, last(blind).contents.optimizer),
              IsEmpty())
      << "statistics for the averages included";
}

INSTANTIATE_TEST_SUITE_P(Kinds, Averaged, ::testing::ValuesIn(averagings()),
                         [](const auto& kind) { return std::string(kind.param.name); });

class Swa : public Averaged {};
INSTANTIATE_TEST_SUITE_P(Swa, Swa, ::testing::Values(averagings()[1]));

TEST_P(Swa, StatisticsAreMadeAnewUnlessToldOtherwise) {
  const std::string all = train({.name = "all"});
  const std::string some = train({.name = "some", .overrides = {"eval.statistics_batches=2"}});
  const std::string none = train({.name = "none", .overrides = {"eval.statistics_batches=0"}});
  EXPECT_THAT(test::differences(training_state(all), training_state(none)), IsEmpty());
  const std::string plain = train({.name = "plain", .overrides = {"optimizer.swa=null"}});
  EXPECT_THAT(test::differences(last(all).contents.model, last(plain).contents.model), IsEmpty())
      << "running statistics are those of training again";
  const auto value = [&](const std::string& run) {
    return metric(run, "eval/test/cross_entropy").back().second;
  };
  EXPECT_NE(value(all), value(some));
  EXPECT_NE(value(all), value(none));
  EXPECT_NE(value(some), value(none));
  for (const std::string& run : {all, some, none}) EXPECT_EQ(measured(run, "last"), value(run));
}

TEST_P(Swa, BeforeTheStartTrainedWeightsAreUsed) {
  const std::string run = train({.max_steps = 3});
  const auto during = metric(run, "eval/test/cross_entropy");
  ASSERT_EQ(during.size(), 1u);
  EXPECT_EQ(measured(run, "last"), during[0].second);
  EXPECT_EQ(measured(run, "last", train::Weights::trained), during[0].second);
}

TEST(LoadWeights, SaysWhenThereAreNoAverages) {
  const TemporaryFolder folder;
  train::SessionOptions session;
  session.output_root = folder.path();
  session.console.quiet = true;
  session.max_steps = 1;
  const train::LoadedConfig loaded = test::load_text(kBatchNormRun);
  const std::string run = train::run_session(loaded, session).folder;
  train::Experiment experiment(loaded.config);
  EXPECT_FALSE(train::load_weights(experiment, run + "/checkpoints/last").averaged);
  try {
    train::load_weights(experiment, run + "/checkpoints/last", train::Weights::averaged);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), "E0277");
  }
}

TEST(AveragedWeights, AreInPlaceOnlyWhileItLives) {
  test::ToyRun run({"optimizer.lookahead=null", "optimizer.ema={decay: 0.5}"});
  {
    const train::AveragedWeights nothing_yet(*run.optimizer, run.experiment.model());
    EXPECT_FALSE(nothing_yet.active());
  }
  run.trainer->run();
  const train::CheckpointContents before = run.snapshot();
  {
    const train::AveragedWeights weights(*run.optimizer, run.experiment.model());
    EXPECT_TRUE(weights.active());
    for (const nn::Parameter* parameter : run.experiment.model().parameters())
      EXPECT_TRUE(test::same_bytes(
          parameter->value, before.optimizer.at("optimizer/" + parameter->name + "/average")))
          << parameter->name;
    EXPECT_THROW(run.snapshot(), InternalError) << "a checkpoint would mix the two up";
  }
  EXPECT_THAT(test::differences(run.snapshot().model, before.model), IsEmpty());
  EXPECT_THAT(test::differences(run.snapshot().optimizer, before.optimizer), IsEmpty());
}

/// Batch norm of the input, and nothing else.
class OnlyNorm final : public nn::Model {
 public:
  explicit OnlyNorm(int64_t channels)
      : nn::Model({channels, 8, 8, nn::Head::image_to_image, channels}),
        norm(child<nn::BatchNorm2d>("norm", channels, nn::NormAffine::trained, 1e-5, 0.3)) {
    initialize(1);
  }
  Tensor forward(const Tensor& input) override {
    modes.push_back(training());
    return norm.forward(input);
  }
  int64_t forward_macs() const override { return 0; }
  nn::BatchNorm2d& norm;
  std::vector<bool> modes;
};

/// 36 generated pictures of two channels in batches of 8: four, and one of 4.
train::StatisticsRequest pictures() {
  static const train::LoadedConfig loaded =
      test::load_text(kBatchNormRun, {"data.channels=2", "data.workers=0"});
  static const train::Experiment experiment(loaded.config);
  train::StatisticsRequest request;
  request.dataset = experiment.source().open(data::Split::train);
  request.loading = data::loader_options(experiment.batches(), data::Split::train, 7);
  return request;
}

TEST(UpdateBatchNorm, IsThePlainMeanOverBatches) {
  OnlyNorm model(2);
  const train::StatisticsRequest request = pictures();
  // By hand, in double, from the same batches: those of an epoch far behind the last.
  std::vector<double> mean(2), variance(2);
  data::Loader loader(request.dataset, request.loading);
  loader.resume({uint64_t{1} << 31, 0});
  for (int n = 0; n < 5; ++n) {
    Batch batch;
    ASSERT_TRUE(loader.next(batch));
    const std::vector<double> x = batch.inputs().to_vector();
    const size_t samples = static_cast<size_t>(batch.size());
    EXPECT_EQ(samples, n < 4 ? 8u : 4u);
    for (size_t c = 0; c < 2; ++c) {
      double sum = 0, squares = 0;
      const double count = static_cast<double>(samples * 64);
      for (size_t i = 0; i < samples * 64; ++i) sum += x[(i / 64 * 2 + c) * 64 + i % 64];
      for (size_t i = 0; i < samples * 64; ++i)
        squares += std::pow(x[(i / 64 * 2 + c) * 64 + i % 64] - sum / count, 2);
      mean[c] += sum / count / 5;
      variance[c] += squares / (count - 1) / 5;
    }
  }
  for (int repeat = 0; repeat < 2; ++repeat) {  // what was there before does not matter
    EXPECT_TRUE(train::update_batch_norm(model, request));
    const std::vector<NamedTensor> buffers = model.buffers();
    for (size_t c = 0; c < 2; ++c) {
      // Five roundings to f32 of values of size 1.
      EXPECT_NEAR(buffers[0].tensor.to_vector()[c], mean[c], 5e-7);
      EXPECT_NEAR(buffers[1].tensor.to_vector()[c], variance[c], 5e-7);
    }
    EXPECT_EQ(buffers[2].tensor.to_vector(), std::vector<double>{5});
  }
}

TEST(UpdateBatchNorm, LeavesModeAndMomentumAsTheyWere) {
  OnlyNorm model(2);
  for (const bool mode : {false, true}) {
    model.train(mode);
    EXPECT_TRUE(train::update_batch_norm(model, pictures()));
    EXPECT_EQ(model.training(), mode);
    EXPECT_EQ(model.norm.training(), mode);
    EXPECT_EQ(model.norm.momentum(), 0.3);
  }
  EXPECT_THAT(model.modes, ::testing::Each(true));
}

TEST(UpdateBatchNorm, StopsAfterTheBatchesAskedForOrWhenInterrupted) {
  OnlyNorm model(2);
  train::StatisticsRequest request = pictures();
  request.batches = 3;
  EXPECT_TRUE(train::update_batch_norm(model, request));
  EXPECT_EQ(model.modes.size(), 3u);
  request.batches = 100;
  model.modes.clear();
  EXPECT_TRUE(train::update_batch_norm(model, request));
  EXPECT_EQ(model.modes.size(), 5u) << "an epoch at most";
  request.interrupted = [&] { return model.modes.size() >= 7; };
  EXPECT_FALSE(train::update_batch_norm(model, request));
  EXPECT_EQ(model.modes.size(), 7u);
  EXPECT_EQ(model.norm.momentum(), 0.3);
}

}  // namespace
}  // namespace sing
