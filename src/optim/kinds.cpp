// The registries of the room, and what all components of a kind share.
#include "optim/recorder.h"
#include "sing/optim/host.h"
#include "sing/optim/post_step.h"
#include "sing/optim/schedule.h"
#include "sing/optim/transform.h"

#include "sing/core/error.h"

namespace sing::optim {

TransformKind& transform_kind() {
  static TransformKind kind("transform");
  return kind;
}
HostKind& host_kind() {
  static HostKind kind("host");
  return kind;
}
ScheduleKind& schedule_kind() {
  static ScheduleKind kind("schedule");
  return kind;
}

GradientTransform::~GradientTransform() = default;
std::vector<StageRule> GradientTransform::rules() const {
  throw NotImplementedError("one of the transforms runs on the CPU only");
}
HostOptimizer::~HostOptimizer() = default;
UpdateRecorder::~UpdateRecorder() = default;
PostStep::~PostStep() = default;
Schedule::~Schedule() = default;

void HostOptions::describe(config::Fields<HostOptions>& f) {
  f("lr", &HostOptions::lr, "learning rate").non_negative();
  f("weight_decay", &HostOptions::weight_decay, "strength of weight decay").non_negative();
  f("decoupled", &HostOptions::decoupled, "shrink the weights directly, not by way of the gradient")
      .default_note("true with sing, else what is usual for the host");
  f("decay", &HostOptions::decay, "tensors that weight decay touches")
      .default_note("matrices with sing, else all");
}

void HardHostOptions::describe(config::Fields<HardHostOptions>& f) {
  f.base<HostOptions>();
  f("softplus_beta", &HardHostOptions::softplus_beta,
    "refused: there is no eps to put it in place of")
      .positive();
  f.check([](const HardHostOptions& o, config::Checker& c) {
    if (o.softplus_beta)
      c.fail("softplus_beta", "softplus has no meaning for this host",
             "remove softplus_beta, or choose adam, adamw, adabelief or adafactor");
  });
}

}  // namespace sing::optim
