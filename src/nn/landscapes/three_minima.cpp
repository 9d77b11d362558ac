#include <array>
#include <cmath>

#include "sing/core/error.h"
#include "sing/nn/landscape.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/reduce.h"
#include "sing/ops/unary.h"

namespace sing::nn {
namespace {

constexpr double kCentre = 1.5, kBowl = 0.25;
struct Well {
  double centre, depth, width;
};
constexpr std::array<Well, 2> kWells = {{{-3.2, 1.3, 0.18}, {-1.2, 1.2, 0.3}}};

double exponent(const Well& well) {
  return -1 / (2 * well.width * well.width);
}

class ThreeMinima final : public Landscape {
 public:
  explicit ThreeMinima(const ThreeMinimaOptions& options) : options_(options) {}
  Tensor forward(const Tensor& output, const Tensor&) const override {
    Tensor sum = ops::mul_scalar(ops::square(ops::add_scalar(output, -kCentre)), kBowl);
    for (const Well& well : kWells) {
      const Tensor distance = ops::square(ops::add_scalar(output, -well.centre));
      sum = sum - ops::mul_scalar(ops::exp(ops::mul_scalar(distance, exponent(well))), well.depth);
    }
    return ops::mean(sum);
  }
  double at(double x) const override {
    double sum = kBowl * (x - kCentre) * (x - kCentre);
    for (const Well& well : kWells)
      sum -= well.depth * std::exp((x - well.centre) * (x - well.centre) * exponent(well));
    return sum;
  }
  double low() const override { return -4.4; }
  double high() const override { return 4; }
  std::vector<Minimum> minima() const override {
    return {{-3.13875, "narrow"}, {-1.09667, "narrow"}, {1.50000, "wide"}};
  }
  const std::string& beside() const override { return options_.beside; }

 private:
  ThreeMinimaOptions options_;
};

const bool registered = loss_kind().add<ThreeMinimaOptions>(
    "three_minima", "a bowl with two narrow wells, a function of one number (model point)",
    [](const ThreeMinimaOptions& options) -> std::unique_ptr<Loss> {
      return std::make_unique<ThreeMinima>(options);
    });

}  // namespace

void Landscape::check(Head head) const {
  if (head != Head::image_to_image)
    throw ConfigError("this loss is a function of what the model puts out, not of class scores",
                      "loss.name", "use it with model point and data constant", "E0235");
}

void ThreeMinimaOptions::describe(config::Fields<ThreeMinimaOptions>& f) {
  f("beside", &ThreeMinimaOptions::beside,
    "run folder whose iterates are drawn into the same picture");
}

}  // namespace sing::nn
