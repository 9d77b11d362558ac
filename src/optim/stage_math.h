#pragma once
// What the transforms do with norms; the same functions for the CPU and for devices.
#include <cmath>

#include "optim/target.h"

namespace sing::optim {

/// Gamma: 1 / (norm + eps); zero stays zero.
SING_ALWAYS_INLINE double normalizing_scale(double norm, double eps) {
  return norm > 0 ? 1 / (norm + eps) : 1;
}

/// As in torch.nn.utils.clip_grad_norm_.
SING_ALWAYS_INLINE double clipping_scale(double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor < 1 ? factor : 1;
}

/// Adaptive clipping of one unit, as in timm.
SING_ALWAYS_INLINE double agc_scale(double weights, double gradient, double clip_factor,
                                    double eps) {
  const double longest = clip_factor * (weights < eps ? eps : weights);
  return gradient >= longest ? longest / (gradient < 1e-6 ? 1e-6 : gradient) : 1;
}

/// Moves the average length on and returns the factor of the first moment.
SING_ALWAYS_INLINE double adanorm_lift(double& average, double norm, double r) {
  average = r * average + (1 - r) * norm;
  return average > norm && norm > 0 ? average / norm : 1;
}

}  // namespace sing::optim
