#include "sing/nn/landscape.h"

#include <gtest/gtest.h>

#include "sing/autograd/tape.h"
#include "sing/core/error.h"
#include "sing/nn/models/point.h"

namespace sing::nn {
namespace {

std::unique_ptr<Loss> three_minima() {
  return config::Component<loss_kind>("three_minima").make();
}
const Landscape& landscape(const std::unique_ptr<Loss>& loss) {
  return dynamic_cast<const Landscape&>(*loss);
}

TEST(ThreeMinima, HasThreeAndNoMore) {
  const auto loss = three_minima();
  const Landscape& f = landscape(loss);
  std::vector<double> found;
  constexpr double kStep = 1e-4;
  for (double x = f.low() - 2; x < f.high() + 2; x += kStep)
    if (f.at(x) < f.at(x - kStep) && f.at(x) < f.at(x + kStep)) found.push_back(x);
  const auto minima = f.minima();
  ASSERT_EQ(found.size(), minima.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], minima[i].x, kStep);
  EXPECT_GT(f.at(minima[0].x), f.at(minima[1].x));
  EXPECT_GT(f.at(minima[1].x), f.at(minima[2].x));
}

TEST(ThreeMinima, TensorAndNumberAgreeAndTheGradientIsTheSlope) {
  const auto loss = three_minima();
  const Landscape& f = landscape(loss);
  for (double x = f.low(); x <= f.high(); x += 0.0625) {
    Tensor at = Tensor::from(std::vector<double>{x}, {1, 1, 1, 1}).to(DType::f64);
    at.set_requires_grad(true);
    const Tensor value = loss->forward(at, Tensor::zeros({1, 1, 1, 1}));
    EXPECT_NEAR(value.item(), f.at(x), 1e-14 * 20);  // values up to 20
    value.backward();
    const double slope = (f.at(x + 1e-5) - f.at(x - 1e-5)) / 2e-5;
    EXPECT_NEAR(at.grad().item(), slope, 1e-7);  // h^2 f''' / 6 with f''' up to 500
  }
}

TEST(ThreeMinima, WantsANumberNotScores) {
  EXPECT_THROW(three_minima()->check(Head::classifier), ConfigError);
  EXPECT_NO_THROW(three_minima()->check(Head::image_to_image));
}

TEST(Point, IsItsParameterWhateverTheInput) {
  PointOptions options;
  options.start = -2.5;
  const DataShape shape{.channels = 3, .height = 2, .width = 2, .outputs = 1};
  Point point(options, shape);
  point.initialize(7);
  EXPECT_EQ(point.parameter_count(), 4);
  EXPECT_EQ(point.forward_macs(), 0);
  Tensor target = Tensor::from(std::vector<double>{1, 2, 3, 4}, {4}).to(DType::f32);
  EXPECT_EQ(point.forward(Tensor::zeros({2, 3, 2, 2})).to_vector(), (std::vector<double>(8, -2.5)));
  point.find_parameter("point")->value.copy_from(target);
  point.sync_working();
  const Tensor out = point.forward(Tensor::zeros({2, 3, 2, 2}));
  EXPECT_EQ(out.shape(), (Shape{2, 1, 2, 2}));
  EXPECT_EQ(out.to_vector(), (std::vector<double>{1, 2, 3, 4, 1, 2, 3, 4}));
  EXPECT_EQ(point.gauges(),
            (Model::Gauges{{"point/0", 1}, {"point/1", 2}, {"point/2", 3}, {"point/3", 4}}));
  EXPECT_THROW(point.forward(Tensor::zeros({2, 12})), ShapeError);
  options.head = Head::classifier;
  options.num_classes = 2;
  EXPECT_THROW(Point(options, {.channels = 1, .height = 1, .width = 1}), ConfigError);
}

}  // namespace
}  // namespace sing::nn
