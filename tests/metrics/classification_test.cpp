#include "sing/metrics/classification.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sing/core/error.h"

namespace sing::metrics {
namespace {

Batch labelled(const std::vector<int64_t>& labels) {
  const int64_t n = static_cast<int64_t>(labels.size());
  return {{"inputs", Tensor::zeros({n, 1})}, {"targets", Tensor::from(labels, {n})}};
}

/// For labels 0, 2, 1, 1: first; fifth; sixth; tied with class 0, which comes first.
Tensor logits() {
  return Tensor::from<float>(std::vector<float>{9, 1, 2, 3, 4, 5, 6,  //
                                                0, 1, 2, 3, 4, 5, 6,  //
                                                0, 1, 2, 3, 4, 5, 6,  //
                                                1, 1, 0, 0, 0, 0, 0},
                             {4, 7});
}

double value(const std::unique_ptr<Metric>& metric, const std::vector<int64_t>& labels,
             const Tensor& prediction = logits()) {
  metric->add(labelled(labels), prediction);
  return metric->value();
}

TEST(Classification, CountsPlaces) {
  EXPECT_EQ(value(accuracy(), {0, 2, 1, 1}), 0.25);
  EXPECT_EQ(value(top5(), {0, 2, 1, 1}), 0.75);
  EXPECT_EQ(value(accuracy(), {0, 6, 6, 0}), 1);
}

TEST(Classification, FewClassesAreAllInTheTopFive) {
  const Tensor few = Tensor::from<float>(std::vector<float>{3, 2, 1, 1, 2, 3}, {2, 3});
  EXPECT_EQ(value(top5(), {2, 0}, few), 1);
}

TEST(Classification, CrossEntropyByHand) {
  // log(e^0 + e^log 3) - log 3 = log(4 / 3), and log(4)
  const float l = std::log(3.0f);
  const Tensor pair = Tensor::from<float>(std::vector<float>{0, l, 0, l}, {2, 2});
  EXPECT_NEAR(value(cross_entropy(), {1, 0}, pair), (std::log(4. / 3) + std::log(4.)) / 2, 1e-7)
      << "the logit itself is rounded to f32";
  const Tensor large = Tensor::from<float>(std::vector<float>{1000, 0}, {1, 2});
  EXPECT_EQ(value(cross_entropy(), {1}, large), 1000) << "no overflow";
}

TEST(Classification, IgnoredLabelsDoNotCount) {
  EXPECT_EQ(value(accuracy(), {0, -100, -100, -100}), 1);
  EXPECT_NEAR(value(cross_entropy(), {-100, -100, -100, 1}), std::log(2 + 5 * std::exp(-1.)),
              1e-12);
  EXPECT_TRUE(std::isnan(value(accuracy(), {-100, -100, -100, -100})));
}

TEST(Classification, NanIsWrong) {
  Tensor spoilt = logits();
  spoilt.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(value(accuracy(), {0, 6, 6, 0}, spoilt), 0.75);
  EXPECT_EQ(value(top5(), {0, 6, 6, 0}, spoilt), 0.75);
  EXPECT_TRUE(std::isnan(value(cross_entropy(), {0, 6, 6, 0}, spoilt)));
}

TEST(Classification, SequencesHaveOneMoreDimension) {
  const Batch batch{{"targets", Tensor::from<int64_t>(std::vector<int64_t>{0, 6, 6, 1}, {2, 2})}};
  const auto metric = accuracy();
  metric->add(batch, logits().view({2, 2, 7}));
  EXPECT_EQ(metric->value(), 0.75);
}

TEST(Classification, RefusesLabelsAndShapesThatDoNotFit) {
  for (const int64_t label : {7, -1}) {
    try {
      value(accuracy(), {0, label, 0, 0});
      FAIL();
    } catch (const DataError& e) {
      EXPECT_EQ(e.code(), "E0305");
    }
    EXPECT_THROW(value(cross_entropy(), {0, label, 0, 0}), DataError);
  }
  EXPECT_THROW(value(accuracy(), {0, 1}), ShapeError);
  const Batch floats{{"targets", Tensor::zeros({4})}};
  EXPECT_THROW(accuracy()->add(floats, logits()), ShapeError);
}

}  // namespace
}  // namespace sing::metrics
