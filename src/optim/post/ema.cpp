// Exponential moving average of the weights, with the warm-up of timm's ModelEma (gamma 1, power
// 2/3).
#include <cmath>

#include "optim/post/average.h"

namespace sing::optim {
namespace {

class Ema final : public WeightAverage {
 public:
  Ema(const EmaOptions& options, const ParamTable& table)
      : WeightAverage("ema", table), options_(options) {}

  std::optional<double> weight(int64_t, int64_t count) const override {
    if (count == 0) return 1;
    const double s = static_cast<double>(count);
    return 1 - (options_.warmup ? std::min(options_.decay, 1 - std::pow(1 + s, -2.0 / 3.0))
                                : options_.decay);
  }

 private:
  EmaOptions options_;
};

}  // namespace

std::unique_ptr<PostStep> make_ema(const EmaOptions& options, const ParamTable& table) {
  return std::make_unique<Ema>(options, table);
}

void EmaOptions::describe(config::Fields<EmaOptions>& f) {
  f("decay", &EmaOptions::decay, "weight of the average so far").range(0, 1, config::Ends::low);
  f("warmup", &EmaOptions::warmup, "smaller decay in the first steps");
}

}  // namespace sing::optim
