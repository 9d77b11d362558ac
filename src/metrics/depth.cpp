#include <array>
#include <cmath>
#include <vector>

#include "metrics/ratio.h"
#include "sing/core/thread_pool.h"
#include "sing/metrics/depth.h"

namespace sing::metrics {
namespace {

struct Score {
  int64_t right = 0, all = 0;
};

/// Rectangles of one image whose depth is right: the mean prediction over the visible pixels of
/// each, in levels, must be less than half a level off. NaN and Inf fail the comparison.
Score score_image(const float* prediction, const uint8_t* ids, const uint8_t* levels,
                  int64_t pixels, size_t most, double depth_scale, bool count_background) {
  std::array<double, 256> sums{};
  std::array<int64_t, 256> counts{};
  for (int64_t i = 0; i < pixels; ++i) {
    sums[ids[i]] += static_cast<double>(prediction[i]);
    ++counts[ids[i]];
  }
  Score score;
  const auto judge = [&](size_t id, double level) {
    const double depth = depth_scale * (sums[id] / static_cast<double>(counts[id]));
    score.right += std::abs(depth - level) < 0.5;
    ++score.all;
  };
  if (count_background && counts[0] > 0) judge(0, 0);
  for (size_t k = 0; k < most; ++k)
    if (levels[k] > 0) judge(k + 1, levels[k]);
  return score;
}

std::vector<Score> score_batch(const char* name, const Batch& batch, const Tensor& prediction,
                               const DepthOptions& options) {
  const Tensor ids = batch.at("ids").to(Device{}).contiguous();
  const Tensor levels = batch.at("levels").to(Device{}).contiguous();
  const double depth_scale = batch.at("depth_scale").item();
  require(ids.rank() == 3, name, "ids (B, S, S)", ids);
  const int64_t samples = ids.size(0);
  require(levels.rank() == 2 && levels.size(0) == samples && levels.size(1) < 256, name,
          "levels (B, rectangles)", levels);
  require(
      prediction.rank() > 0 && prediction.size(0) == samples && prediction.numel() == ids.numel(),
      name, "a prediction (B, 1, S, S) like the ids", prediction);
  const Tensor values = host_floats(prediction);
  const int64_t pixels = samples == 0 ? 0 : ids.numel() / samples;
  const int64_t most = levels.size(1);
  std::vector<Score> scores(static_cast<size_t>(samples));
  parallel_for(samples, [&](int64_t i) {
    scores[static_cast<size_t>(i)] =
        score_image(values.data<float>() + i * pixels, ids.data<uint8_t>() + i * pixels,
                    levels.data<uint8_t>() + i * most, pixels, static_cast<size_t>(most),
                    depth_scale, options.count_background);
  });
  return scores;
}

class DepthAccuracy : public ShareMetric {
 public:
  explicit DepthAccuracy(const DepthOptions& options) : options_(options) {}
  void add(const Batch& batch, const Tensor& prediction) override {
    for (const Score& score : score_batch("depth_accuracy", batch, prediction, options_))
      count(score.right == score.all, 1);
  }

 private:
  DepthOptions options_;
};

class RectangleAccuracy : public ShareMetric {
 public:
  explicit RectangleAccuracy(const DepthOptions& options) : options_(options) {}
  void add(const Batch& batch, const Tensor& prediction) override {
    for (const Score& score : score_batch("rectangle_accuracy", batch, prediction, options_))
      count(score.right, score.all);
  }

 private:
  DepthOptions options_;
};

const bool registered[] = {
    metric_kind().add<DepthOptions>(
        "depth_accuracy", "share of images with the right depth for every rectangle",
        [](const DepthOptions& options) { return depth_accuracy(options); }),
    metric_kind().add<DepthOptions>(
        "rectangle_accuracy", "share of rectangles with the right depth",
        [](const DepthOptions& options) { return rectangle_accuracy(options); }),
};

}  // namespace

std::unique_ptr<Metric> depth_accuracy(const DepthOptions& options) {
  return std::make_unique<DepthAccuracy>(options);
}

std::unique_ptr<Metric> rectangle_accuracy(const DepthOptions& options) {
  return std::make_unique<RectangleAccuracy>(options);
}

}  // namespace sing::metrics
