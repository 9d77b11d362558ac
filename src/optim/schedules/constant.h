#pragma once
#include "optim/schedules/common.h"
#include "sing/config/schema.h"

namespace sing::optim {

struct ConstantOptions {
  config::Duration warmup = kNoSteps;

  static void describe(config::Fields<ConstantOptions>& f) {
    f("warmup", &ConstantOptions::warmup, "linear rise from lr / warmup").non_negative();
  }
};

}  // namespace sing::optim
