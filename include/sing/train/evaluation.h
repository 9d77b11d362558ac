#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sing/core/export.h"
#include "sing/data/loader.h"
#include "sing/data/source.h"
#include "sing/metrics/metric.h"
#include "sing/nn/model.h"
#include "sing/train/config.h"

namespace sing::train {

/// A metric of one evaluation.
struct EvalValue {
  std::string metric;  ///< "depth_accuracy"
  double value = 0;
  metrics::Traits traits;
};

struct EvalResult {
  std::vector<EvalValue> values;
  int64_t samples = 0;
  /// False when `interrupted` ended it early; then the values are of a part only.
  bool complete = true;
  /// Whether it was of averaged weights; said by whoever put them in place.
  bool averaged = false;
  /// The first samples: inputs, targets and the model's output, for a panel.
  Batch first;
  Tensor first_output;
};

struct EvalRequest {
  EvalRequest() = default;
  /// Loader settings as a config gives them.
  explicit EvalRequest(const data::BatchOptions& batches)
      : batch_size(batches.batch_size),
        workers(batches.workers),
        on_bad_sample(batches.on_bad_sample),
        max_bad(batches.max_bad) {}

  std::shared_ptr<const data::Dataset> dataset;
  int64_t batch_size = 32;
  int workers = 2;
  data::BadSample on_bad_sample = data::BadSample::error;
  double max_bad = 1e-3;
  Precision precision = Precision::f32;
  int64_t keep_samples = 0;                                   ///< how many of EvalResult::first
  int64_t limit = 0;                                          ///< samples; 0: all
  std::function<bool()> interrupted;                          ///< asked between batches
  std::function<void(int64_t done, int64_t total)> progress;  ///< told after each batch
};

/// The metrics of a data set under the model, in evaluation mode without a tape; the model's mode
/// is restored. The values do not depend on the batch size.
SING_API EvalResult evaluate(nn::Model& model,
                             const std::vector<std::unique_ptr<metrics::Metric>>& measures,
                             const std::vector<std::string>& names, const EvalRequest& request);

/// "depth_accuracy 81.2 %   mse 0.00184".
SING_API std::string eval_text(const EvalResult& result);

}  // namespace sing::train
