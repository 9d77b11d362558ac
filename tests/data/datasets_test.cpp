#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sing/config/bind.h"
#include "sing/config/yaml.h"
#include "sing/core/error.h"
#include "sing/data/loader.h"
#include "sing/data/rde_dataset.h"
#include "sing/data/synthetic_images.h"
#include "sing/metrics/depth.h"

namespace sing::data {
namespace {

constexpr double kPinnedSum = -20.950352148152888, kPinnedSquares = 128.53328636183468;

RdeOptions small_rde() {
  RdeOptions options;
  options.preset = "quick";
  options.train_size = 40;
  options.val_size = 10;
  options.test_size = 20;
  return options;
}

TEST(RdeDataset, BatchesHoldScenes) {
  const auto set = rde_dataset(small_rde(), Split::test);
  EXPECT_EQ(set->size(), 20);
  EXPECT_EQ(set->name(), "rde (test)");
  Loader loader(set, {.batch_size = 8, .shuffle = false, .epochs = 1});
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.inputs().shape(), Shape({8, 1, 24, 24}));
  EXPECT_EQ(batch.targets().shape(), Shape({8, 1, 24, 24}));
  EXPECT_EQ(batch.at("ids").shape(), Shape({8, 24, 24}));
  EXPECT_EQ(batch.at("depth_scale").item(), 4);
  // test scene 0 has levels 1, 2, 3 and level sum 534
  const auto levels = batch.at("levels").narrow(0, 0, 1).to_vector();
  EXPECT_EQ((std::vector<double>(levels.begin(), levels.begin() + 4)),
            (std::vector<double>{1, 2, 3, 0}));
  double sum = 0;
  for (const double value : batch.targets().narrow(0, 0, 1).to_vector()) sum += value;
  EXPECT_EQ(sum, 534. / 4);
  const auto boxes = batch.at("boxes").narrow(0, 0, 1).to_vector();
  EXPECT_EQ((std::vector<double>(boxes.begin(), boxes.begin() + 4)),
            (std::vector<double>{8, 5, 19, 12}));
}

TEST(RdeDataset, ATargetIsAPerfectPrediction) {
  Loader loader(rde_dataset(small_rde(), Split::train), {.batch_size = 16, .epochs = 1});
  const auto images = metrics::metric_kind().make(config::ComponentBase("depth_accuracy"));
  const auto mse = metrics::metric_kind().make(config::ComponentBase("mse"));
  for (Batch batch; loader.next(batch);) {
    images->add(batch, batch.targets());
    mse->add(batch, batch.targets());
  }
  EXPECT_EQ(images->value(), 1);
  EXPECT_EQ(mse->value(), 0);
}

TEST(RdeDataset, NormalizesOnRequest) {
  RdeOptions options = small_rde();
  options.normalize = true;
  Batch plain = allocate_batch(*rde_dataset(small_rde(), Split::val), 1);
  Batch scaled = allocate_batch(*rde_dataset(options, Split::val), 1);
  BatchWriter(*rde_dataset(small_rde(), Split::val), plain).read({3, 0, 0}, 0);
  BatchWriter(*rde_dataset(options, Split::val), scaled).read({3, 0, 0}, 0);
  const auto a = plain.inputs().to_vector(), b = scaled.inputs().to_vector();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(b[i], 2 * a[i] - 1);
  EXPECT_EQ(plain.targets().to_vector(), scaled.targets().to_vector());
}

TEST(RdeDataset, FingerprintsTellDataSetsApart) {
  const std::string base = rde_dataset(small_rde(), Split::train)->fingerprint();
  EXPECT_EQ(rde_dataset(small_rde(), Split::train)->fingerprint(), base);
  const auto changed = [&](auto change) {
    RdeOptions options = small_rde();
    change(options);
    return rde_dataset(options, Split::train)->fingerprint() != base;
  };
  EXPECT_TRUE(changed([](RdeOptions& o) { o.seed = 1; }));
  EXPECT_TRUE(changed([](RdeOptions& o) { o.variant = rde::Variant::filled; }));
  EXPECT_TRUE(changed([](RdeOptions& o) { o.train_size = 41; }));
  EXPECT_TRUE(changed([](RdeOptions& o) { o.normalize = true; }));
  EXPECT_TRUE(changed([](RdeOptions& o) { o.gap = 3; }));
  EXPECT_TRUE(changed([](RdeOptions& o) { o.depth_scale = 5; }));
  EXPECT_FALSE(changed([](RdeOptions& o) { o.workers = 0; }));
}

TEST(RdeConfig, OptionsComeFromAConfig) {
  config::Value tree = config::Value::map();
  const auto set = [&](const char* key, const char* value) {
    tree.entries.push_back({key, {}, config::Value::scalar(value)});
  };
  set("preset", "quick");
  set("variant", "filled");
  set("train_size", "16Ki");
  set("batch_size", "8");
  set("on_bad_sample", "replace");
  set("side_max", "14");
  const RdeOptions options = config::bind<RdeOptions>(tree);
  EXPECT_EQ(options.variant, rde::Variant::filled);
  EXPECT_EQ(options.train_size, 16384);
  EXPECT_EQ(options.batch_size, 8);
  EXPECT_EQ(options.on_bad_sample, BadSample::replace);
  EXPECT_EQ(scene_options(options).side_max, 14);
  EXPECT_EQ(scene_options(options).size, 24);
}

struct Holder {
  config::Component<dataset_registry> data{"rde"};
  std::vector<config::Component<metrics::metric_kind>> metrics{"mse"};
  static void describe(config::Fields<Holder>& f) {
    f("data", &Holder::data, "the data set");
    f("metrics", &Holder::metrics, "measures");
  }
};

TEST(RdeConfig, TheComponentHoldsItsOwnKeysAndTheLoaders) {
  config::Value data = config::Value::map(), metric = config::Value::map();
  for (const auto& [key, value] :
       {std::pair{"name", "rde"}, {"preset", "mid"}, {"test_size", "7"}, {"batch_size", "512"}})
    data.entries.push_back({key, {}, config::Value::scalar(value)});
  metric.entries.push_back({"name", {}, config::Value::scalar("depth_accuracy")});
  metric.entries.push_back({"count_background", {}, config::Value::scalar("true")});
  config::Value tree = config::Value::map(), list = config::Value::list();
  list.items = {metric, config::Value::scalar("rectangle_accuracy")};
  tree.entries = {{"data", {}, data}, {"metrics", {}, list}};
  const Holder holder = config::bind<Holder>(tree);
  const auto source = holder.data.make();
  EXPECT_EQ(source->batches().batch_size, 512);
  EXPECT_EQ(source->size(Split::test), 7);
  EXPECT_EQ(source->fields()[0].shape, Shape({1, 64, 64}));
  ASSERT_EQ(holder.metrics.size(), 2u);
  EXPECT_TRUE(holder.metrics[0].options_as<metrics::DepthOptions>()->count_background);
  EXPECT_TRUE(holder.metrics[1].make()->traits().share);
}

TEST(RdeConfig, UndecidableScenesAreAConfigError) {
  for (const auto& [key, value] : {std::pair{"side_max", "23"},
                                   {"gap", "1"},
                                   {"side_min", "3"},
                                   {"rectangles_max", "17"},
                                   {"depth_scale", "0"}}) {
    config::Value tree = config::Value::map();
    tree.entries.push_back({"preset", {}, config::Value::scalar("quick")});
    tree.entries.push_back({key, {}, config::Value::scalar(value)});
    config::Problems problems;
    config::bind<RdeOptions>(tree, problems);
    ASSERT_EQ(problems.errors().size(), 1u) << key;
    EXPECT_EQ(problems.errors()[0].code, "E0260") << key;
  }
}

TEST(Registry, KnowsTheDataSetsAndMetrics) {
  const auto names = dataset_registry().names();
  for (const char* name : {"rde", "synthetic_images"})
    EXPECT_TRUE(std::count(names.begin(), names.end(), name)) << name;
  const auto metrics = metrics::metric_kind().names();
  for (const char* name :
       {"depth_accuracy", "rectangle_accuracy", "mse", "accuracy", "top5", "cross_entropy"})
    EXPECT_TRUE(std::count(metrics.begin(), metrics.end(), name)) << name;
}

TEST(Registry, MakesASourceThatOpensSplits) {
  const auto source = dataset_registry().make(config::ComponentBase("synthetic_images"));
  EXPECT_EQ(source->size(Split::train), 4096);
  EXPECT_EQ(source->batches().batch_size, 32);
  const auto set = source->open(Split::val);
  EXPECT_EQ(set->size(), 512);
  ASSERT_EQ(source->fields().size(), set->fields().size());
  EXPECT_EQ(source->fields()[0].shape, set->field("inputs").shape);
  EXPECT_EQ(set->field("targets").classes, 10);
  EXPECT_THROW(set->field("ids"), ConfigError);
  const auto rde = dataset_registry().make(config::ComponentBase("rde"));
  EXPECT_EQ(rde->summary(), "rde full/outline, rendered on the fly");
  EXPECT_EQ(rde->fields()[0].shape, Shape({1, 128, 128})) << "known without drawing scenes";
}

TEST(Registry, EvaluationWalksOnceInOrder) {
  const BatchOptions batches{.batch_size = 5, .shuffle = true, .drop_last = true};
  const LoaderOptions train = loader_options(batches, Split::train, 3);
  const LoaderOptions test = loader_options(batches, Split::test, 3);
  EXPECT_TRUE(train.shuffle && train.drop_last && train.epochs == 0 && train.seed == 3);
  EXPECT_TRUE(!test.shuffle && !test.drop_last && test.epochs == 1);
}

TEST(Constant, IsOneNumberAgainAndAgain) {
  config::Problems problems;
  const auto tree = config::read_yaml(
      "data: {name: constant, train_size: 3, input: 2, target: -1.5}", "test", problems);
  struct Root {
    config::Component<dataset_registry> data;
    static void describe(config::Fields<Root>& f) { f("data", &Root::data, "samples"); }
  };
  const auto source = config::bind<Root>(tree.value()).data.make();
  EXPECT_EQ(source->size(Split::train), 3);
  EXPECT_EQ(source->size(Split::test), 1);
  Loader loader(source->open(Split::train), {.batch_size = 2, .epochs = 1});
  Batch batch;
  int64_t samples = 0;
  while (loader.next(batch)) {
    const auto rows = static_cast<size_t>(batch.size());
    EXPECT_EQ(batch.inputs().shape(), Shape({batch.size(), 1, 1, 1}));
    EXPECT_EQ(batch.inputs().to_vector(), std::vector<double>(rows, 2));
    EXPECT_EQ(batch.targets().to_vector(), std::vector<double>(rows, -1.5));
    samples += batch.size();
  }
  EXPECT_EQ(samples, 3);
  EXPECT_NE(source->open(Split::train)->fingerprint(), source->open(Split::test)->fingerprint());
}

TEST(SyntheticImages, AreDeterministicAndBalanced) {
  SyntheticImagesOptions options;
  options.size = 16;
  options.train_size = options.val_size = 50;
  const auto read = [&](Split split, int64_t index) {
    const auto set = synthetic_images(options, split);
    Batch batch = allocate_batch(*set, 1);
    BatchWriter(*set, batch).read({index, 1, 2}, 0);
    return std::pair(batch.inputs().to_vector(), batch.targets().item());
  };
  EXPECT_EQ(read(Split::train, 7), read(Split::train, 7));
  EXPECT_NE(read(Split::train, 7).first, read(Split::train, 17).first);
  EXPECT_NE(read(Split::train, 7).first, read(Split::val, 7).first);
  EXPECT_EQ(read(Split::train, 7).second, 7);
  EXPECT_EQ(read(Split::train, 17).second, 7);
  // Pinned: a change of these numbers is a change of the data set.
  double sum = 0, squares = 0;
  for (const double value : read(Split::train, 0).first) {
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum, kPinnedSum, 1e-9) << "sums of doubles, so rounding only";
  EXPECT_NEAR(squares, kPinnedSquares, 1e-9);
}

/// A classifier that knows the prototypes only as class means must do well, one that guesses not.
TEST(SyntheticImages, CanBeLearnt) {
  SyntheticImagesOptions options;
  options.size = 16;
  options.train_size = 400;
  options.test_size = 200;
  const auto train = synthetic_images(options, Split::train);
  const auto test = synthetic_images(options, Split::test);
  const size_t values = static_cast<size_t>(train->field("inputs").shape.numel());
  std::vector<std::vector<double>> means(10, std::vector<double>(values));
  Batch batch = allocate_batch(*train, 1);
  for (int64_t i = 0; i < train->size(); ++i) {
    BatchWriter(*train, batch).read({i, 0, 0}, 0);
    auto& mean = means[static_cast<size_t>(batch.targets().item())];
    const auto image = batch.inputs().to_vector();
    for (size_t j = 0; j < values; ++j) mean[j] += image[j] / 40;
  }
  int right = 0;
  for (int64_t i = 0; i < test->size(); ++i) {
    BatchWriter(*test, batch).read({i, 0, 0}, 0);
    const auto image = batch.inputs().to_vector();
    std::vector<double> distances;
    for (const auto& mean : means) {
      double distance = 0;
      for (size_t j = 0; j < values; ++j) distance += std::pow(mean[j] - image[j], 2);
      distances.push_back(distance);
    }
    const auto nearest = std::min_element(distances.begin(), distances.end()) - distances.begin();
    right += nearest == static_cast<int64_t>(batch.targets().item());
  }
  EXPECT_GT(right, 160);
}

}  // namespace
}  // namespace sing::data
