#include "sing/nn/models/point.h"

#include <algorithm>

#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/reshape.h"

namespace sing::nn {
namespace {

constexpr int64_t kMostGauges = 4;

Shape image(const DataShape& s) {
  return {s.outputs, s.height, s.width};
}

}  // namespace

Point::Point(const PointOptions& o, const DataShape& data)
    : Model(resolve_shape(o, data)),
      start_(o.start),
      point_(parameter("point", {image(shape()).numel()}, Init::constant(o.start), Tag::weight)) {
  if (shape().head != Head::image_to_image)
    throw ConfigError("model 'point' has no head 'classifier'", "model.head", {}, "E0232");
}

Tensor Point::forward(const Tensor& input) {
  if (input.rank() != 4)
    throw ShapeError("point: wanted images (N, C, H, W); got " + to_string(input.shape()));
  const DataShape& s = shape();
  const Tensor copies = Tensor::zeros({input.size(0), s.outputs, s.height, s.width},
                                      {.dtype = point_.working.dtype()});
  return ops::add(copies, ops::reshape(point_.working, {1, s.outputs, s.height, s.width}));
}

Model::Gauges Point::gauges() const {
  Gauges result;
  const int64_t shown = std::min(image(shape()).numel(), kMostGauges);
  const std::vector<double> values = point_.value.narrow(0, 0, shown).to_vector();
  for (size_t i = 0; i < values.size(); ++i)
    result.emplace_back("point/" + std::to_string(i), values[i]);
  return result;
}

void PointOptions::describe(config::Fields<PointOptions>& f) {
  describe_model(f);
  f("start", &PointOptions::start, "first value of every coordinate");
}

namespace {
const bool kRegistered = model_kind().add<PointOptions>(
    "point", "no network: the parameters are the prediction",
    [](const PointOptions& o, const DataShape& data) -> std::unique_ptr<Model> {
      return std::make_unique<Point>(o, data);
    });
}  // namespace
}  // namespace sing::nn
