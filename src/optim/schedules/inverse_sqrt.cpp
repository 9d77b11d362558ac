// Linear rise from init_lr, then decay with the inverse root of the step, as fairseq has it.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct InverseSqrtOptions {
  config::Duration warmup = config::Duration::steps(4000);
  double init_lr = 0;

  static void describe(config::Fields<InverseSqrtOptions>& f) {
    f("warmup", &InverseSqrtOptions::warmup, "rise from init_lr to lr").positive();
    f("init_lr", &InverseSqrtOptions::init_lr, "rate of the first update").non_negative();
  }
};

class InverseSqrt final : public Schedule {
 public:
  InverseSqrt(const InverseSqrtOptions& o, const RunLength& run)
      : warmup_(std::max<int64_t>(1, resolve(o.warmup, run, "schedule.warmup"))),
        init_lr_(o.init_lr) {
    check_fits(warmup_, run, "inverse_sqrt");
  }
  double at(double base, int64_t step) const override {
    const double s = static_cast<double>(step), w = static_cast<double>(warmup_);
    return step < warmup_ ? init_lr_ + s * (base - init_lr_) / w : base * std::sqrt(w / s);
  }

 private:
  int64_t warmup_;
  double init_lr_;
};

const bool registered = schedule_kind().add<InverseSqrtOptions>(
    "inverse_sqrt", "warm-up, then the inverse root of the step",
    [](const InverseSqrtOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<InverseSqrt>(o, run);
    });

}  // namespace
}  // namespace sing::optim
