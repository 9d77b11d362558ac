// A straight line between two factors of the rate.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct LinearOptions {
  double start_factor = 1;
  double end_factor = 0;
  config::Duration duration = config::Duration::fraction(1);

  static void describe(config::Fields<LinearOptions>& f) {
    f("start_factor", &LinearOptions::start_factor, "factor of the first update").non_negative();
    f("end_factor", &LinearOptions::end_factor, "factor from the end of duration on")
        .non_negative();
    f("duration", &LinearOptions::duration, "length of the line").positive();
  }
};

class Linear final : public Schedule {
 public:
  Linear(const LinearOptions& o, const RunLength& run)
      : options_(o), steps_(std::max<int64_t>(1, resolve(o.duration, run, "schedule.duration"))) {
    check_fits(steps_, run, "linear");
  }
  double at(double base, int64_t step) const override {
    const double q = static_cast<double>(std::min(step, steps_)) / static_cast<double>(steps_);
    return base * (options_.start_factor + (options_.end_factor - options_.start_factor) * q);
  }

 private:
  LinearOptions options_;
  int64_t steps_;
};

const bool registered = schedule_kind().add<LinearOptions>(
    "linear", "a straight line between two factors",
    [](const LinearOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Linear>(o, run);
    });

}  // namespace
}  // namespace sing::optim
