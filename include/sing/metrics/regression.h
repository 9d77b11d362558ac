#pragma once
#include <memory>

#include "sing/metrics/metric.h"

namespace sing::metrics {

/// Mean over all elements of (prediction - target)^2, in target units; batch "targets" and
/// prediction of one shape. For RDE this is the test loss, background included.
SING_API std::unique_ptr<Metric> mean_squared_error();

}  // namespace sing::metrics
