#pragma once
#include "sing/train/experiment.h"

namespace sing::apps {

/// Checks what can be checked without starting: config, files, shapes, groups, schedule; prints
/// what would run. `whole`: also the parameter table.
void print_plan(const train::LoadedConfig& config, bool whole);

}  // namespace sing::apps
