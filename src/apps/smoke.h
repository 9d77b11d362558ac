#pragma once
#include "sing/train/session.h"

namespace sing::apps {

/// Two tiny steps of everything: training, evaluation, saving, reloading, evaluation again with
/// equal numbers. In a folder of its own that is removed afterwards. Returns the exit code.
int run_smoke(const train::LoadedConfig& config, train::SessionOptions options);

}  // namespace sing::apps
