#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "sing/config/component.h"
#include "sing/core/export.h"
#include "sing/tensor/batch.h"
#include "sing/tensor/state_visitor.h"

namespace sing::metrics {

/// How a value is shown and compared.
struct Traits {
  bool share = false;             ///< in 0..1, shown in percent
  bool higher_is_better = false;  ///< decides which checkpoint is the best
};

/// A measure of a whole split. Keeps sums and counts in integers and doubles and adds samples in
/// their order, so that the value does not depend on how the split was cut into batches.
/// One thread.
class SING_API Metric {
 public:
  virtual ~Metric();

  /// `prediction` is the model's output for `batch`, any floating dtype, any device.
  /// Throws ShapeError when it does not fit the batch.
  virtual void add(const Batch& batch, const Tensor& prediction) = 0;
  /// NaN when nothing was added.
  virtual double value() const = 0;
  virtual void reset() = 0;
  /// Shows every sum and count: a metric can be saved in mid-evaluation.
  virtual void visit_state(StateVisitor& visitor) = 0;
  virtual Traits traits() const = 0;
};

using MetricKind = config::ComponentKind<std::unique_ptr<Metric>()>;
/// Metrics by name; each registers itself in its own .cpp.
SING_API MetricKind& metric_kind();

}  // namespace sing::metrics
