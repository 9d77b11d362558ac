#include "sing/metrics/metric.h"

namespace sing::metrics {

Metric::~Metric() = default;

MetricKind& metric_kind() {
  static MetricKind kind("metric");
  return kind;
}

}  // namespace sing::metrics
