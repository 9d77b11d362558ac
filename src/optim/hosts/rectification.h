#pragma once
#include <cmath>
#include <cstdint>

namespace sing::optim {

/// Length of the simple moving average that the second moment of step t amounts to, and the factor
/// that evens out its variance; equations 5 to 7 of Liu et al. 2020 (RAdam).
struct Rectification {
  double rho;
  double factor;  // meaningful for rho > 4
  Rectification(double beta2, int64_t step) {
    const double t = static_cast<double>(step);
    const double power = std::pow(beta2, t);
    const double limit = 2 / (1 - beta2) - 1;
    rho = limit - 2 * t * power / (1 - power);
    factor = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
  }
};

}  // namespace sing::optim
