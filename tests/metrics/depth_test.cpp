#include "sing/metrics/depth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sing/core/error.h"
#include "sing/data/rde.h"
#include "sing/metrics/regression.h"

namespace sing::metrics {
namespace {

constexpr int64_t kImages = 7;

/// Seven scenes of `full` and predictions that start as the targets; a spoiler works in levels.
class Depth : public ::testing::Test {
 protected:
  Depth() {
    const int64_t side = options_.size;
    Tensor inputs = Tensor::zeros({kImages, 1, side, side});
    Tensor targets = Tensor::zeros({kImages, 1, side, side});
    Tensor ids = Tensor::zeros({kImages, side, side}, {.dtype = DType::u8});
    Tensor levels = Tensor::zeros({kImages, 16}, {.dtype = DType::u8});
    for (int64_t i = 0; i < kImages; ++i) {
      scenes_.push_back(
          data::rde::generate(options_, 0, data::Split::train, static_cast<uint64_t>(i)));
      const data::rde::Scene& scene = scenes_.back();
      data::rde::paint_target(scene, options_.size, options_.depth_scale,
                              targets.mutable_data<float>() + i * side * side);
      data::rde::paint_ids(scene, options_.size, ids.mutable_data<uint8_t>() + i * side * side);
      std::copy(scene.levels.begin(), scene.levels.end(), levels.mutable_data<uint8_t>() + i * 16);
    }
    batch_ = {{"inputs", inputs},
              {"targets", targets},
              {"ids", ids},
              {"levels", levels},
              {"depth_scale", Tensor::scalar(options_.depth_scale, DType::f64)}};
    prediction_ = targets.clone();
  }

  /// Adds f(image, id, pixel) levels to every pixel of the prediction.
  template <class F>
  void spoil(F f) {
    float* p = prediction_.mutable_data<float>();
    const uint8_t* ids = batch_.at("ids").data<uint8_t>();
    const int64_t pixels = static_cast<int64_t>(options_.size) * options_.size;
    for (int64_t i = 0; i < prediction_.numel(); ++i)
      p[i] += static_cast<float>(f(i / pixels, static_cast<int>(ids[i]), i % pixels) /
                                 options_.depth_scale);
  }
  double score(const std::unique_ptr<Metric>& metric) {
    metric->add(batch_, prediction_);
    return metric->value();
  }
  double images(const DepthOptions& options = {}) { return score(depth_accuracy(options)); }
  double rectangles(const DepthOptions& options = {}) { return score(rectangle_accuracy(options)); }
  double mse() { return score(mean_squared_error()); }
  int64_t total() const {
    int64_t sum = 0;
    for (const auto& scene : scenes_) sum += scene.count;
    return sum;
  }

  data::rde::Options options_ = data::rde::preset("full");
  std::vector<data::rde::Scene> scenes_;
  Batch batch_;
  Tensor prediction_;
};

TEST_F(Depth, TheTargetIsRight) {
  EXPECT_EQ(images(), 1);
  EXPECT_EQ(rectangles(), 1);
  EXPECT_EQ(mse(), 0);
}

TEST_F(Depth, LessThanHalfALevelIsRight) {
  spoil([](auto...) { return 0.49; });
  EXPECT_EQ(images(), 1);
  EXPECT_NEAR(mse(), 0.49 * 0.49 / 64, 1e-8) << "f32 targets round the offset";
}

TEST_F(Depth, MoreThanHalfALevelIsWrong) {
  spoil([](auto...) { return 0.51; });
  EXPECT_EQ(images(), 0);
  EXPECT_EQ(rectangles(), 0);
  spoil([](auto...) { return -1.02; });
  EXPECT_EQ(images(), 0);
  EXPECT_EQ(rectangles(), 0);
}

TEST_F(Depth, ExactlyHalfALevelIsWrong) {
  spoil([](auto...) { return 0.5; });  // sixteenths are exact in f32 and their sums in f64
  EXPECT_EQ(images(), 0);
  EXPECT_EQ(rectangles(), 0);
}

TEST_F(Depth, TheBackgroundIsNoRectangle) {
  spoil([](auto, int id, auto) { return id == 0 ? 5.0 : 0.0; });
  EXPECT_EQ(images(), 1);
  EXPECT_GT(mse(), 0.1);
  EXPECT_EQ(images({.count_background = true}), 0);
  EXPECT_NEAR(rectangles({.count_background = true}),
              static_cast<double>(total()) / static_cast<double>(total() + kImages), 1e-15);
}

TEST_F(Depth, ErrorsThatCancelInsideARectangleAreForgiven) {
  std::vector<int> seen(static_cast<size_t>(kImages) * 17);
  std::vector<int> left(seen.size());
  const uint8_t* ids = batch_.at("ids").data<uint8_t>();
  const int64_t pixels = static_cast<int64_t>(options_.size) * options_.size;
  for (int64_t i = 0; i < kImages * pixels; ++i)
    ++left[static_cast<size_t>(i / pixels * 17 + ids[i])];
  spoil([&](int64_t image, int id, auto) {
    const size_t at = static_cast<size_t>(image * 17 + id);
    const bool unpaired = ++seen[at] == left[at] && left[at] % 2 == 1;
    return unpaired ? 0.0 : (seen[at] % 2 ? 3.0 : -3.0);
  });
  EXPECT_EQ(images(), 1);
  EXPECT_GT(mse(), 0.1);
}

TEST_F(Depth, OneWrongRectangleSpoilsItsImageOnly) {
  spoil([](int64_t image, int id, auto) { return image == 3 && id == 2 ? 0.6 : 0.0; });
  EXPECT_DOUBLE_EQ(images(), (kImages - 1.0) / kImages);
  EXPECT_DOUBLE_EQ(rectangles(), static_cast<double>(total() - 1) / static_cast<double>(total()));
}

TEST_F(Depth, OneBadPixelSpoilsItsRectangle) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    prediction_ = batch_.targets().clone();
    bool done = false;
    spoil([&](int64_t image, int id, auto) {
      if (done || image != 1 || id != 4) return 0.0;
      done = true;
      return bad;
    });
    EXPECT_DOUBLE_EQ(images(), (kImages - 1.0) / kImages);
    EXPECT_DOUBLE_EQ(rectangles(), static_cast<double>(total() - 1) / static_cast<double>(total()));
  }
}

TEST_F(Depth, ValuesDoNotDependOnTheBatchSize) {
  spoil([](int64_t image, int id, int64_t pixel) {
    return std::sin(static_cast<double>(image * 31 + id * 7) + static_cast<double>(pixel)) +
           0.3 * static_cast<double>(id % 3);
  });
  for (auto make : {+[] { return depth_accuracy(); }, +[] { return rectangle_accuracy(); },
                    +[] { return mean_squared_error(); }}) {
    const auto whole = make();
    whole->add(batch_, prediction_);
    ASSERT_TRUE(std::isfinite(whole->value()));
    for (const int64_t size : {1, 2, 3, 5}) {  // each leaves a short last batch, 1 excepted
      const auto parts = make();
      for (int64_t first = 0; first < kImages; first += size) {
        const int64_t count = std::min(size, kImages - first);
        parts->add(batch_.narrow(first, count), prediction_.narrow(0, first, count));
      }
      EXPECT_EQ(parts->value(), whole->value()) << size;
    }
  }
}

class Recorder : public StateVisitor {
 public:
  bool restoring = false;
  std::vector<double> values;
  size_t next = 0;
  void visit(const std::string&, Tensor&) override { FAIL() << "no metric keeps a tensor"; }
  void visit(const std::string&, int64_t& value) override { exchange(value); }
  void visit(const std::string&, double& value) override { exchange(value); }

 private:
  template <class T>
  void exchange(T& value) {
    if (restoring)
      value = static_cast<T>(values[next++]);
    else
      values.push_back(static_cast<double>(value));
  }
};

TEST_F(Depth, StateComesBack) {
  spoil([](int64_t image, int id, auto) { return image % 2 ? 0.1 : 0.3 * id; });
  for (auto make : {+[] { return depth_accuracy(); }, +[] { return mean_squared_error(); }}) {
    const auto unbroken = make(), first = make(), second = make();
    EXPECT_TRUE(std::isnan(first->value())) << "nothing added";
    unbroken->add(batch_, prediction_);
    first->add(batch_.narrow(0, 4), prediction_.narrow(0, 0, 4));
    Recorder recorder;
    first->visit_state(recorder);
    EXPECT_FALSE(recorder.values.empty());
    recorder.restoring = true;
    second->visit_state(recorder);
    second->add(batch_.narrow(4, 3), prediction_.narrow(0, 4, 3));
    EXPECT_EQ(second->value(), unbroken->value());
    second->reset();
    EXPECT_TRUE(std::isnan(second->value()));
  }
}

TEST_F(Depth, LowPrecisionIsRead) {
  prediction_ = prediction_.to(DType::bf16);  // eighths up to 2 are exact in bf16
  EXPECT_EQ(images(), 1);
  EXPECT_EQ(mse(), 0);
}

TEST_F(Depth, RefusesWhatDoesNotFit) {
  EXPECT_THROW(depth_accuracy()->add(batch_, prediction_.narrow(0, 0, 3)), ShapeError);
  EXPECT_THROW(mean_squared_error()->add(batch_, prediction_.narrow(0, 0, 3)), ShapeError);
  const Batch poor{{"inputs", batch_.inputs()}, {"targets", batch_.targets()}};
  EXPECT_THROW(depth_accuracy()->add(poor, prediction_), ShapeError);
}

}  // namespace
}  // namespace sing::metrics
