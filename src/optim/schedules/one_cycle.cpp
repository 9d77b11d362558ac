// torch's OneCycleLR with cosine phases: lr / div_factor up to lr, then down to lr / (div_factor
// final_div_factor). The phases end at pct_start T - 1 and T - 1, not always whole numbers.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct OneCycleOptions {
  double pct_start = 0.3;
  double div_factor = 25;
  double final_div_factor = 1e4;

  static void describe(config::Fields<OneCycleOptions>& f) {
    f("pct_start", &OneCycleOptions::pct_start, "share of the run that rises").fraction();
    f("div_factor", &OneCycleOptions::div_factor, "lr / first rate").positive();
    f("final_div_factor", &OneCycleOptions::final_div_factor, "first rate / last rate").positive();
  }
};

class OneCycle final : public Schedule {
 public:
  OneCycle(const OneCycleOptions& o, const RunLength& run)
      : options_(o), total_(static_cast<double>(total_of(run, "one_cycle"))) {}
  double at(double base, int64_t step) const override {
    const double last = total_ - 1;
    const double s = std::min(static_cast<double>(step), last);
    const double top = options_.pct_start * total_ - 1;
    const double first = base / options_.div_factor;
    if (s <= top && top > 0) return base + (first - base) * half_cosine(s / top);
    if (last <= top) return base;
    const double end = first / options_.final_div_factor;
    return end + (base - end) * half_cosine((s - top) / (last - top));
  }

 private:
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
