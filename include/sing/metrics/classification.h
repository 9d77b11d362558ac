#pragma once
#include <cstdint>
#include <memory>

#include "sing/config/schema.h"
#include "sing/metrics/metric.h"

namespace sing::metrics {

// Logits (..., C) as prediction, labels (...) i64 as "targets". Elements whose label is
// `ignored_label` do not count; any other label outside 0..C-1 throws DataError E0305.
struct ClassificationOptions {
  int64_t ignored_label = -100;

  static void describe(config::Fields<ClassificationOptions>& f) {
    f("ignored_label", &ClassificationOptions::ignored_label, "elements with it do not count");
  }
};

/// Share of elements whose label has the highest logit. Among equal logits the lower class comes
/// first; an element with a NaN logit is wrong.
SING_API std::unique_ptr<Metric> accuracy(const ClassificationOptions& options = {});
/// Share of elements whose label is among the five highest logits.
SING_API std::unique_ptr<Metric> top5(const ClassificationOptions& options = {});
/// Mean of log(sum exp logits) - logit of the label, without label smoothing, in double.
SING_API std::unique_ptr<Metric> cross_entropy(const ClassificationOptions& options = {});

}  // namespace sing::metrics
