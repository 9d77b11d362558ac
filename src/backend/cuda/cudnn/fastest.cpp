#include "backend/cuda/cudnn/fastest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "sing/core/error.h"
#include "sing/core/log.h"

namespace sing::cuda::cudnn {
namespace {

bool same_result(const std::vector<float>& wanted, const std::vector<float>& got) {
  double squares = 0;
  for (const float x : wanted) squares += static_cast<double>(x) * static_cast<double>(x);
  const double usual = std::sqrt(squares / static_cast<double>(std::max<size_t>(wanted.size(), 1)));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double x = static_cast<double>(wanted[i]);
    const double most = kSameResult * (std::abs(x) + usual);
    if (!(std::abs(static_cast<double>(got[i]) - x) <= most)) return false;
  }
  return true;
}

}  // namespace

Fastest fastest_of(const std::vector<Work>& ways, const Trial& trial) {
  Fastest result{0, {trial.seconds(ways.at(0))}};
  const std::vector<float> wanted = trial.sampled();
  double limit = result.seconds[0] * kWorthwhile;
  for (size_t way = 1; way < ways.size(); ++way) {
    double seconds = std::numeric_limits<double>::infinity();
    try {
      trial.spoil();
      const double measured = trial.seconds(ways[way]);
      if (same_result(wanted, trial.sampled()))
        seconds = measured;
      else
        log_warning("cudnn: way " + std::to_string(way) + " gives other results and is not used");
    } catch (const BackendError& error) {
      log_info("cudnn: way " + std::to_string(way) + " is not used: " + error.what());
    }
    result.seconds.push_back(seconds);
    if (seconds < limit) {
      limit = seconds;
      result.way = way;
    }
  }
  return result;
}

}  // namespace sing::cuda::cudnn
