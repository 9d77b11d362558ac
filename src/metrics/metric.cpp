#include "sing/metrics/metric.h"

namespace sing::metrics {

Metric::~Metric() = default;

}  // namespace sing::metrics
