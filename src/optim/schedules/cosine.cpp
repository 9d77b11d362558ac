// Warm-up, optionally a constant part, then half a cosine down to min_lr at the end of the run.
#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct CosineOptions {
  config::Duration warmup = kNoSteps;
  config::Duration hold = kNoSteps;
  double min_lr = 0;

  static void describe(config::Fields<CosineOptions>& f) {
    f("warmup", &CosineOptions::warmup, "linear rise from lr / warmup").non_negative();
    f("hold", &CosineOptions::hold, "constant part between warm-up and cosine").non_negative();
    f("min_lr", &CosineOptions::min_lr, "rate at the end of the run").non_negative();
  }
};

class Cosine final : public Schedule {
 public:
  Cosine(const CosineOptions& o, const RunLength& run)
      : total_(total_of(run, "cosine")),
        warmup_(resolve(o.warmup, run, "schedule.warmup")),
        start_(warmup_ + resolve(o.hold, run, "schedule.hold")),
        min_lr_(o.min_lr) {
    check_fits(start_, run, "cosine");
  }
  double at(double base, int64_t step) const override {
    if (step < warmup_) return warmed(base, step, warmup_);
    if (step < start_ || start_ == total_) return base;
    const double q =
        static_cast<double>(std::min(step, total_) - start_) / static_cast<double>(total_ - start_);
    return min_lr_ + (base - min_lr_) * half_cosine(q);
  }

 private:
  int64_t total_, warmup_, start_;
  double min_lr_;
};

const bool registered = schedule_kind().add<CosineOptions>(
    "cosine", "warm-up, constant part, half a cosine",
    [](const CosineOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Cosine>(o, run);
    });

}  // namespace
}  // namespace sing::optim
