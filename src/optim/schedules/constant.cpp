// Warm-up, then the same rate to the end.
#include "optim/schedules/constant.h"

namespace sing::optim {
namespace {

class Constant final : public Schedule {
 public:
  Constant(const ConstantOptions& o, const RunLength& run)
      : warmup_(resolve(o.warmup, run, "schedule.warmup")) {
    check_fits(warmup_, run, "constant");
  }
  double at(double base, int64_t step) const override {
    return step < warmup_ ? warmed(base, step, warmup_) : base;
  }

 private:
  int64_t warmup_;
};

const bool registered = schedule_kind().add<ConstantOptions>(
    "constant", "warm-up, then one rate",
    [](const ConstantOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Constant>(o, run);
    });

}  // namespace
}  // namespace sing::optim
