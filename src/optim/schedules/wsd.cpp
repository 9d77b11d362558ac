// Warm-up, stable, decay: the rate falls to 0 over the last updates of the run.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

enum class DecayShape : uint8_t { linear, sqrt, cosine };
config::EnumNames<DecayShape> enum_names(DecayShape) {
  return {
      {"linear", DecayShape::linear}, {"sqrt", DecayShape::sqrt}, {"cosine", DecayShape::cosine}};
}

struct WsdOptions {
  config::Duration warmup = kNoSteps;
  config::Duration decay = config::Duration::fraction(0.2);
  DecayShape shape = DecayShape::linear;

  static void describe(config::Fields<WsdOptions>& f) {
    f("warmup", &WsdOptions::warmup, "linear rise from lr / warmup").non_negative();
    f("decay", &WsdOptions::decay, "length of the fall at the end of the run").non_negative();
    f("shape", &WsdOptions::shape, "how it falls");
  }
};

class Wsd final : public Schedule {
 public:
  Wsd(const WsdOptions& o, const RunLength& run)
      : total_(total_of(run, "wsd")),
        warmup_(resolve(o.warmup, run, "schedule.warmup")),
        decay_(resolve(o.decay, run, "schedule.decay")),
        shape_(o.shape) {
    check_fits(warmup_ + decay_, run, "wsd");
  }
  double at(double base, int64_t step) const override {
    if (step < warmup_) return warmed(base, step, warmup_);
    const int64_t into = std::min(step, total_) - (total_ - decay_);
    if (into <= 0) return base;
    const double q = static_cast<double>(into) / static_cast<double>(decay_);
    switch (shape_) {
      case DecayShape::linear:
        return base * (1 - q);
      case DecayShape::sqrt:
        return base * (1 - std::sqrt(q));
      case DecayShape::cosine:
        return base * half_cosine(q);
    }
    return base;
  }

 private:
  int64_t total_, warmup_, decay_;
  DecayShape shape_;
};

const bool registered = schedule_kind().add<WsdOptions>(
    "wsd", "warm-up, constant, decay at the end",
    [](const WsdOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Wsd>(o, run);
    });

}  // namespace
}  // namespace sing::optim
