// Drops by a factor: every so many steps, or at given milestones.
#include <vector>

#include "optim/schedules/common.h"

namespace sing::optim {
namespace {

struct StepOptions {
  config::Duration every = config::Duration::epochs(30);
  double gamma = 0.1;

  static void describe(config::Fields<StepOptions>& f) {
    f("every", &StepOptions::every, "length of a level").positive();
    f("gamma", &StepOptions::gamma, "factor from one level to the next").positive();
  }
};

class Step final : public Schedule {
 public:
  Step(const StepOptions& o, const RunLength& run)
      : every_(std::max<int64_t>(1, resolve(o.every, run, "schedule.every"))), gamma_(o.gamma) {}
  double at(double base, int64_t step) const override {
    return base * std::pow(gamma_, static_cast<double>(step / every_));
  }

 private:
  int64_t every_;
  double gamma_;
};

struct MultistepOptions {
  std::vector<config::Duration> milestones;
  double gamma = 0.1;

  static void describe(config::Fields<MultistepOptions>& f) {
    f("milestones", &MultistepOptions::milestones, "where the rate drops; twice: drops twice")
        .required()
        .positive();
    f("gamma", &MultistepOptions::gamma, "factor at each milestone").positive();
  }
};

class Multistep final : public Schedule {
 public:
  Multistep(const MultistepOptions& o, const RunLength& run) : gamma_(o.gamma) {
    for (const config::Duration& milestone : o.milestones)
      milestones_.push_back(resolve(milestone, run, "schedule.milestones"));
  }
  double at(double base, int64_t step) const override {
    const auto passed =
        std::ranges::count_if(milestones_, [&](int64_t milestone) { return milestone <= step; });
    return base * std::pow(gamma_, static_cast<double>(passed));
  }

 private:
  std::vector<int64_t> milestones_;
  double gamma_;
};

const bool registered_step = schedule_kind().add<StepOptions>(
    "step", "drops by a factor every so many steps",
    [](const StepOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Step>(o, run);
    });
const bool registered_multistep = schedule_kind().add<MultistepOptions>(
    "multistep", "drops by a factor at given milestones",
    [](const MultistepOptions& o, const RunLength& run) -> std::unique_ptr<Schedule> {
      return std::make_unique<Multistep>(o, run);
    });

}  // namespace
}  // namespace sing::optim
