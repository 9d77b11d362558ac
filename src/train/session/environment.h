#pragma once
#include <string>
#include <utility>
#include <vector>

#include "sing/train/environment.h"
#include "sing/train/experiment.h"

namespace sing::train {

/// The opening block of a run: label and text of each line.
std::vector<std::pair<std::string, std::string>> banner_lines(Experiment& experiment,
                                                              const optim::Optimizer& optimizer,
                                                              Precision precision);

}  // namespace sing::train
