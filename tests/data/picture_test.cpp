#include "sing/data/picture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "sing/core/error.h"
#include "sing/data/rde_dataset.h"
#include "sing/data/samples.h"
#include "sing/data/synthetic_images.h"
#include "sing/tensor/safetensors.h"
#include "support/temporary_folder.h"

namespace sing::data {
namespace {

constexpr Colour kPaper{255, 255, 255};

std::shared_ptr<const Dataset> quick(Split split = Split::test) {
  RdeOptions options;
  options.preset = "quick";
  options.train_size = options.val_size = options.test_size = 12;
  return rde_dataset(options, split);
}

Batch read(const Dataset& set, int64_t count) {
  Batch batch = allocate_batch(set, count);
  const BatchWriter writer(set, batch);
  for (int64_t i = 0; i < count; ++i) writer.read({i, 0, 0}, i);
  return batch;
}

TEST(Colours, GoFromDarkBlueToYellow) {
  EXPECT_EQ(scale_colour(0), (Colour{68, 1, 84}));
  EXPECT_EQ(scale_colour(1), (Colour{253, 231, 37}));
  EXPECT_EQ(scale_colour(-3), scale_colour(0));
  EXPECT_EQ(scale_colour(7), scale_colour(1));
  EXPECT_EQ(scale_colour(std::nan("")), (Colour{255, 0, 255}));
  EXPECT_EQ(scale_colour(std::numeric_limits<double>::infinity()), scale_colour(1));
  double before = 0;  // lightness only grows, so that the scale reads in grey as well
  for (int i = 0; i <= 100; ++i) {
    const Colour c = scale_colour(i / 100.0);
    const double light = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
    EXPECT_GE(light, before - 0.5) << i;  // half a step of the rounding to bytes
    before = light;
  }
}

TEST(Panel, ShowsInputTruthAndPrediction) {
  const Batch batch = read(*quick(), 3);
  const Tensor guess = Tensor::zeros({3, 1, 24, 24});
  const Picture panel =
      prediction_panel(batch.inputs(), batch.targets(), guess, {.rows = 2, .tile_side = 24});
  ASSERT_EQ(panel.width, 3 * 28 + 4);
  ASSERT_EQ(panel.height, 2 * 28 + 4);
  const float* image = batch.inputs().data<float>();
  const float* target = batch.targets().data<float>();
  for (int64_t y = 0; y < 24; ++y)
    for (int64_t x = 0; x < 24; ++x) {
      const int64_t i = 24 * 24 + y * 24 + x;  // second sample
      const uint8_t grey = image[i] > 0 ? 255 : 0;
      EXPECT_EQ(panel.at(4 + x, 32 + y), (Colour{grey, grey, grey}));
      EXPECT_EQ(panel.at(32 + x, 32 + y), scale_colour(static_cast<double>(target[i]) / 0.75))
          << "the highest level shown is 3 of 4";
      EXPECT_EQ(panel.at(60 + x, 32 + y), scale_colour(0));
    }
  for (int64_t x = 0; x < panel.width; ++x) EXPECT_EQ(panel.at(x, 29), kPaper);
}

TEST(Panel, TruthAndPredictionShareOneScale) {
  const Batch batch = read(*quick(), 2);
  const Picture panel = prediction_panel(batch.inputs(), batch.targets(), batch.targets());
  EXPECT_EQ(panel.height, 2 * 100 + 4) << "tiles of 24 pixels are enlarged four times";
  for (int64_t y = 0; y < panel.height; ++y)
    for (int64_t x = 0; x < 96; ++x) EXPECT_EQ(panel.at(104 + x, y), panel.at(204 + x, y));
  Tensor bad = batch.targets().clone();
  bad.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  const Picture spoilt = prediction_panel(batch.inputs(), batch.targets(), bad);
  EXPECT_EQ(spoilt.at(204, 4), (Colour{255, 0, 255}));
  EXPECT_EQ(spoilt.at(104, 4), panel.at(104, 4));
}

TEST(Panel, FramesClassifiedImages) {
  SyntheticImagesOptions options;
  options.size = 32;
  const Batch batch = read(*synthetic_images(options, Split::train), 6);  // labels 0..5
  Tensor logits = Tensor::zeros({6, 10});
  for (int64_t i = 0; i < 6; ++i)
    logits.mutable_data<float>()[i * 10 + (i == 5 ? 0 : i)] = 1;  // the last one is wrong
  const Picture panel = prediction_panel(batch.inputs(), batch.targets(), logits);
  EXPECT_EQ(panel.width, 4 * (96 + 6 + 4) + 4);
  EXPECT_EQ(panel.height, 2 * (96 + 6 + 4) + 4);
  EXPECT_EQ(panel.at(5, 5), (Colour{46, 160, 67}));
  EXPECT_EQ(panel.at(4 + 106 + 1, 4 + 106 + 1), (Colour{207, 34, 46}));
}

TEST(Panel, RefusesWhatDoesNotFit) {
  const Batch batch = read(*quick(), 2);
  EXPECT_THROW(prediction_panel(batch.inputs(), batch.targets(), batch.targets().narrow(0, 0, 1)),
               ShapeError);
  EXPECT_THROW(prediction_panel(batch.targets().view({2, 576}), batch.targets(), batch.targets()),
               ShapeError);
  EXPECT_THROW(prediction_panel(batch.inputs(), Tensor::zeros({2}, {.dtype = DType::i64}),
                                Tensor::zeros({3, 10})),
               ShapeError);
}

TEST(Preview, ShowsPairsInAGrid) {
  const Picture picture = preview(*quick(), 2, 8, {.tile_side = 24});
  EXPECT_EQ(picture.width, 2 * 2 * 28 + 4);
  EXPECT_EQ(picture.height, 4 * 28 + 4);
  const Batch batch = read(*quick(), 4);
  const float* image = batch.inputs().data<float>() + 3 * 576;  // sample 3 is second of the row
  for (int64_t i = 0; i < 576; ++i)
    EXPECT_EQ(picture.at(60 + i % 24, 4 + i / 24)[0], image[i] > 0 ? 255 : 0);
  EXPECT_THROW(preview(*quick(), 5, 8), ConfigError);
  EXPECT_THROW(preview(*quick(), 0, 0), ConfigError);
  const Picture images = preview(*synthetic_images({}, Split::val), 0, 9);
  EXPECT_EQ(images.width, 3 * 100 + 4) << "labels have no picture";
}

TEST(Preview, IsWrittenAsPng) {
  const test::TemporaryFolder folder;
  preview_png(*quick(), 0, 6, folder / "rde.png");
  EXPECT_EQ(read_png(folder / "rde.png"), preview(*quick(), 0, 6));
}

class Samples : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "samples.safetensors"; }
  test::TemporaryFolder folder_;
};

TEST_F(Samples, AreWrittenAsARunSeesThem) {
  write_samples(*quick(), 3, 5, path());
  const auto file = load_tensors(path());
  std::set<std::string> names;
  for (const auto& [name, tensor] : file) names.insert(name);
  EXPECT_EQ(names,
            (std::set<std::string>{"image", "target", "ids", "levels", "boxes", "depth_scale"}));
  const Batch batch = read(*quick(), 8).narrow(3, 5);
  EXPECT_EQ(file.at("image").shape(), Shape({5, 1, 24, 24}));
  EXPECT_EQ(file.at("image").to_vector(), batch.inputs().to_vector());
  EXPECT_EQ(file.at("target").to_vector(), batch.targets().to_vector());
  for (const char* name : {"ids", "levels", "boxes"})
    EXPECT_EQ(file.at(name).to_vector(), batch.at(name).to_vector()) << name;
  EXPECT_EQ(file.at("depth_scale").item(), 4);
  const auto again = SafetensorsFile::open(path());
  bool fingerprint = false;
  for (const auto& [key, value] : again.metadata())
    fingerprint |= key == "fingerprint" && value == quick()->fingerprint();
  EXPECT_TRUE(fingerprint);
}

TEST_F(Samples, LabelsAreWrittenToo) {
  write_samples(*synthetic_images({}, Split::train), 0, 12, path());
  const auto file = load_tensors(path());
  EXPECT_EQ(file.at("image").shape(), Shape({12, 3, 32, 32}));
  EXPECT_EQ(file.at("target").to_vector()[11], 1);
}

TEST_F(Samples, LongRangesGoThroughInChunks) {
  RdeOptions options;
  options.preset = "quick";
  options.test_size = 600;
  const auto set = rde_dataset(options, Split::test);
  write_samples(*set, 20, 570, path());
  const auto file = load_tensors(path());
  Batch batch = allocate_batch(*set, 570);
  const BatchWriter writer(*set, batch);
  for (int64_t i = 0; i < 570; ++i) writer.read({20 + i, 0, 0}, i);
  EXPECT_EQ(file.at("image").to_vector(), batch.inputs().to_vector());
  EXPECT_EQ(file.at("levels").to_vector(), batch.at("levels").to_vector());
}

TEST_F(Samples, RefusesARangeThatIsNotThere) {
  EXPECT_THROW(write_samples(*quick(), 10, 3, path()), ConfigError);
  EXPECT_THROW(write_samples(*quick(), -1, 3, path()), ConfigError);
  EXPECT_THROW(write_samples(*quick(), 0, 0, path()), ConfigError);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

}  // namespace
}  // namespace sing::data
