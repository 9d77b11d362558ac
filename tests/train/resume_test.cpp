// Exact resume, determinism and threads, at the level of the trainer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/train/signals.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::OnEvent;
using test::ToyRun;
using train::Event;
using train::Outcome;
using train::Trainer;

/// Ids of the samples of every micro-step, in order.
std::shared_ptr<OnEvent> log_ids(std::vector<double>& ids) {
  return std::make_shared<OnEvent>([&ids](Event event, Trainer& trainer) {
    if (event != Event::loss_ready) return;
    for (const double id : trainer.batch().at("index").to_vector()) ids.push_back(id);
  });
}

struct Undisturbed {
  train::CheckpointContents end;
  std::vector<double> ids;
};

const Undisturbed& undisturbed() {
  static const Undisturbed result = [] {
    ToyRun run;
    Undisturbed made;
    run.trainer->add(log_ids(made.ids));
    EXPECT_EQ(run.trainer->run(), Outcome::finished);
    EXPECT_EQ(run.trainer->counters().step, 6);
    made.end = run.snapshot();
    return made;
  }();
  return result;
}

TEST(Resume, AtEveryMicroStepIsBitwiseEqual) {
  constexpr int kMicroSteps = 18;
  ASSERT_EQ(undisturbed().ids.size(), 3u * 22u);
  for (int stop = 1; stop < kMicroSteps; ++stop) {
    std::vector<double> ids;
    train::CheckpointContents saved;
    {
      ToyRun run;
      int seen = 0;
      run.trainer->add(log_ids(ids));
      run.trainer->add(std::make_shared<OnEvent>([&](Event event, Trainer&) {
        if (event == Event::loss_ready && ++seen == stop) train::request_stop(15);
      }));
      EXPECT_EQ(run.trainer->run(), Outcome::stopped);
      train::clear_stop_request();
      saved = run.snapshot();
    }
    ToyRun run;
    train::restore_checkpoint(*run.trainer, saved);
    run.trainer->add(log_ids(ids));
    EXPECT_EQ(run.trainer->run(), Outcome::finished);
    const train::CheckpointContents end = run.snapshot();
    EXPECT_THAT(test::differences(end.model, undisturbed().end.model), testing::IsEmpty()) << stop;
    EXPECT_THAT(test::differences(end.optimizer, undisturbed().end.optimizer), testing::IsEmpty())
        << stop;
    EXPECT_EQ(ids, undisturbed().ids) << stop;
  }
}

/// Fails to read some samples of another data set.
class Damaged : public data::Dataset {
 public:
  explicit Damaged(std::shared_ptr<const data::Dataset> inner) : inner_(std::move(inner)) {}
  std::string name() const override { return inner_->name(); }
  int64_t size() const override { return inner_->size(); }
  const std::vector<data::Field>& fields() const override { return inner_->fields(); }
  std::vector<NamedTensor> constants() const override { return inner_->constants(); }
  std::string fingerprint() const override { return inner_->fingerprint(); }
  void get(const data::SampleKey& key, std::span<void* const> out) const override {
    if (key.index % 7 == 3) throw DataError("damaged");  // 3, 10, 17
    inner_->get(key, out);
  }

 private:
  std::shared_ptr<const data::Dataset> inner_;
};

TEST(Resume, ReplacedSamplesAreInTheState) {
  ToyRun run({"data.on_bad_sample=replace", "data.max_bad=0.5"});
  const auto damaged = std::make_shared<Damaged>(run.experiment.source().open(data::Split::train));
  data::Loader loader(damaged, run.loader->options());
  const auto trainer = [&](data::Loader& with) {
    return std::make_unique<Trainer>(run.trainer->options(), run.experiment.model(),
                                     run.experiment.loss(), with, *run.optimizer);
  };
  const auto first = trainer(loader);
  first->run();
  const train::CheckpointContents saved = train::checkpoint_contents(*first);
  EXPECT_EQ(saved.state.at("numbers").at("data/replaced").as_integer(), 3);
  EXPECT_EQ(saved.optimizer.at("data/replaced_samples").to_vector(),
            (std::vector<double>{3, 10, 17}));
  data::Loader other(damaged, run.loader->options());
  const auto second = trainer(other);
  train::restore_checkpoint(*second, saved);
  const train::CheckpointContents again = train::checkpoint_contents(*second);
  EXPECT_THAT(test::differences(again.optimizer, saved.optimizer), testing::IsEmpty());
}

TEST(Resume, PartialGradientsMatter) {
  // The guard above would be blind if windows were simply begun anew: dropping them must show.
  train::CheckpointContents saved;
  {
    ToyRun run;
    int seen = 0;
    run.trainer->add(std::make_shared<OnEvent>([&](Event event, Trainer&) {
      if (event == Event::loss_ready && ++seen == 2) train::request_stop(15);
    }));
    run.trainer->run();
    train::clear_stop_request();
    saved = run.snapshot();
  }
  int zeroed = 0;
  for (auto& [name, tensor] : saved.optimizer) {
    if (name.find("gradient") == std::string::npos) continue;
    tensor.fill(0);
    ++zeroed;
  }
  ASSERT_GT(zeroed, 0);
  ToyRun run;
  train::restore_checkpoint(*run.trainer, saved);
  run.trainer->run();
  EXPECT_FALSE(test::differences(run.snapshot().model, undisturbed().end.model).empty());
}

TEST(Resume, OtherLoaderThreadsChangeNothing) {
  for (const int workers : {0, 2, 3}) {
    ToyRun run({}, workers);
    run.trainer->run();
    EXPECT_THAT(test::differences(run.snapshot().model, undisturbed().end.model),
                testing::IsEmpty())
        << workers;
  }
}

TEST(Resume, MissingAndMisshapenStateIsRefusedByName) {
  ToyRun run;
  train::CheckpointContents contents = run.snapshot();
  contents.model["pos_embed"] = Tensor::zeros({3});
  contents.model.erase("head.bias");
  try {
    train::restore_checkpoint(*run.trainer, contents);
    FAIL();
  } catch (const CheckpointError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("pos_embed is f32 (3)"));
    EXPECT_THAT(error.what(), testing::HasSubstr("head.bias is missing"));
    EXPECT_EQ(error.code(), "E0410");
  }
}

TEST(Determinism, TwoRunsAreBitwiseEqual) {
  ToyRun run;
  run.trainer->run();
  EXPECT_THAT(test::differences(run.snapshot().model, undisturbed().end.model), testing::IsEmpty());
}

TEST(Determinism, ThreadsChangeNoOrderMaskOrFirstWeight) {
  const int before = num_threads();
  for (const int threads : {2, 3, 4}) {
    set_num_threads(threads);
    ToyRun run;
    const ToyRun reference;
    std::vector<double> ids;
    run.trainer->add(log_ids(ids));
    const train::CheckpointContents first = run.snapshot();
    set_num_threads(1);
    ToyRun single;
    EXPECT_THAT(test::differences(first.model, single.snapshot().model), testing::IsEmpty());
    set_num_threads(threads);
    run.trainer->run();
    EXPECT_EQ(ids, undisturbed().ids);
    // Masks feed into every weight: with all sums of fixed shape the whole run agrees.
    EXPECT_THAT(test::differences(run.snapshot().model, undisturbed().end.model),
                testing::IsEmpty())
        << threads;
  }
  set_num_threads(before);
}

TEST(Accumulation, EqualsTheLargeBatch) {
  // Without dropout, 3 x 4 samples must give the update of 12 at once, the short window too.
  const std::vector<std::string> common = {"model.dropout=0", "train.duration=2ep",
                                           "optimizer.host.lr=1e-3"};
  std::vector<std::string> small = common, large = common;
  small.push_back("train.accumulate=3");
  large.push_back("train.accumulate=1");
  large.push_back("data.batch_size=12");
  ToyRun a(small), b(large);
  a.trainer->run();
  b.trainer->run();
  EXPECT_EQ(a.trainer->counters().step, b.trainer->counters().step);
  const auto x = a.snapshot().model, y = b.snapshot().model;
  for (const auto& [name, tensor] : x) {
    const std::vector<double> u = tensor.to_vector(), v = y.at(name).to_vector();
    // f32 gradients summed in another order, then four normalised steps of length 1e-3.
    for (size_t i = 0; i < u.size(); ++i) ASSERT_NEAR(u[i], v[i], 2e-6) << name;
  }
}

}  // namespace
}  // namespace sing
