// torch's OneCycleLR with cosine phases: lr / div_factor up to lr, then down to lr / (div_factor
// final_div_factor). The phases end at pct_start T - 1 and T - 1, not always whole numbers.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct OneCycleOptions {
  double pct_start = 0.3;
  double div_factor = 25;
  double final_div_factor = 1e4;
  bool cycle_momentum = false;

  static void describe(config::Fields<OneCycleOptions>& f) {
    f("pct_start", &OneCycleOptions::pct_start, "share of the run that rises").fraction();
    f("div_factor", &OneCycleOptions::div_factor, "lr / first rate").positive();
    f("final_div_factor", &OneCycleOptions::final_div_factor, "first rate / last rate").positive();
    f("cycle_momentum", &OneCycleOptions::cycle_momentum,
      "momentum (or beta1) goes from 0.95 to 0.85 and back as the rate rises and falls");
  }
};

class OneCycle final : public Schedule {
 public:
  OneCycle(const OneCycleOptions& o, const RunLength& run)
      : options_(o), total_(static_cast<double>(total_of(run, "one_cycle"))) {}
  double at(double base, int64_t step) const override {
    const double first = base / options_.div_factor;
    return cycle(step, first, base, first / options_.final_div_factor);
  }
  std::optional<double> momentum_at(int64_t step) const override {
    if (!options_.cycle_momentum) return std::nullopt;
    return cycle(step, 0.95, 0.85, 0.95);
  }

 private:
  double cycle(int64_t step, double first, double top_value, double end) const {
    const double last = total_ - 1;
    const double s = std::min(static_cast<double>(step), last);
    const double top = options_.pct_start * total_ - 1;
    if (s <= top && top > 0) return top_value + (first - top_value) * half_cosine(s / top);
    if (last <= top) return top_value;
    return end + (top_value - end) * half_cosine((s - top) / (last - top));
  }

  OneCycleOptions options_;
  double total_;
};

const bool registered = schedule_kind().add<OneCycleOptions>(
    "one_cycle", "up and down again, both as half a cosine",
    [](const OneCycleOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<OneCycle>(o, run);
    });

}  // namespace
}  // namespace sing::optim
