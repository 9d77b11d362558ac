// What simple rules score on RDE: the generator, the loader and the metrics together must give the
// published baselines of the data set.
#include <gtest/gtest.h>

#include <algorithm>

#include "sing/data/loader.h"
#include "sing/data/rde_dataset.h"
#include "sing/metrics/depth.h"

namespace sing::data {
namespace {

/// For each rectangle of an image, how many others it covers: seen in their boxes.
std::vector<int> covered_counts(const uint8_t* ids, const uint8_t* boxes, const uint8_t* levels,
                                int64_t side) {
  std::vector<int> counts(17);
  for (int b = 0; b < 16 && levels[b] > 0; ++b) {
    const uint8_t* box = boxes + 4 * b;  // x0 y0 x1 y1
    uint32_t seen = 0;
    for (int64_t y = box[1]; y <= box[3]; ++y)
      for (int64_t x = box[0]; x <= box[2]; ++x) seen |= 1u << ids[y * side + x];
    for (int a = 1; a <= 16; ++a) counts[static_cast<size_t>(a)] += a != b + 1 && (seen >> a & 1);
  }
  return counts;
}

/// Accuracy in percent of predicting level rule(number of rectangles covered).
template <class Rule>
double accuracy(const RdeOptions& options, Rule rule) {
  const auto set = rde_dataset(options, Split::test);
  Loader loader(set, {.batch_size = 100, .workers = 0, .shuffle = false, .epochs = 1});
  const auto metric = metrics::depth_accuracy();
  Batch batch;
  while (loader.next(batch)) {
    Tensor prediction = Tensor::zeros(batch.targets().shape());
    const int64_t side = prediction.size(3), pixels = prediction.numel() / batch.size();
    const float scale = static_cast<float>(batch.at("depth_scale").item());
    for (int64_t i = 0; i < batch.size(); ++i) {
      const uint8_t* ids = batch.at("ids").data<uint8_t>() + i * pixels;
      const auto counts = covered_counts(ids, batch.at("boxes").data<uint8_t>() + i * 64,
                                         batch.at("levels").data<uint8_t>() + i * 16, side);
      float* p = prediction.mutable_data<float>() + i * pixels;
      for (int64_t j = 0; j < pixels; ++j)
        if (ids[j] > 0) p[j] = static_cast<float>(rule(counts[ids[j]])) / scale;
    }
    metric->add(batch, prediction);
  }
  return metric->value() * 100;
}

TEST(RdeBaselines, SimpleRulesScoreAsPublished) {
  struct Row {
    const char* preset;
    int64_t scenes;
    double two_if_covering, one_plus_covered;
  };
  for (const Row& row : {Row{"full", 1500, 4.5, 14.3}, Row{"mid", 1500, 17.6, 35.4},
                         Row{"quick", 3000, 44.6, 72.1}}) {
    RdeOptions options;
    options.preset = row.preset;
    options.test_size = row.scenes;
    options.train_size = 1;
    // Published from the same scenes: only the rounding of the table is left.
    EXPECT_NEAR(accuracy(options, [](int n) { return n > 0 ? 2 : 1; }), row.two_if_covering, 0.06)
        << row.preset;
    EXPECT_NEAR(accuracy(options, [](int n) { return 1 + n; }), row.one_plus_covered, 0.06)
        << row.preset;
  }
}

}  // namespace
}  // namespace sing::data
