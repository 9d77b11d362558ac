#include "sing/metrics/classification.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "metrics/ratio.h"

namespace sing::metrics {
namespace {

/// Logits and labels of a batch, checked and on the host.
struct Rows {
  Tensor logits, labels;
  int64_t count = 0, classes = 0;

  const float* logits_of(int64_t row) const { return logits.data<float>() + row * classes; }
  int64_t label_of(int64_t row) const { return labels.data<int64_t>()[row]; }
};

Rows rows_of(const char* metric, const Batch& batch, const Tensor& prediction) {
  Rows rows;
  rows.labels = batch.targets().to(Device{}).contiguous();
  require(rows.labels.dtype() == DType::i64, metric, "labels of dtype i64", rows.labels);
  require(rows.labels.rank() > 0 && prediction.rank() == rows.labels.rank() + 1 &&
              std::equal(rows.labels.shape().begin(), rows.labels.shape().end(),
                         prediction.shape().begin()),
          metric, "logits of the labels' shape with one more dimension for the classes",
          prediction);
  rows.logits = host_floats(prediction);
  rows.count = rows.labels.numel();
  rows.classes = prediction.size(-1);
  return rows;
}

void check_label(const char* metric, int64_t label, int64_t classes) {
  if (label < 0 || label >= classes)
    throw DataError(std::string(metric) + ": label " + std::to_string(label) + " is outside 0.." +
                        std::to_string(classes - 1),
                    {}, "the model must have one output per class", "E0305");
}

/// Classes ahead of `label`; all of them when a logit is NaN.
int64_t rank_of(const float* logits, int64_t classes, int64_t label) {
  int64_t ahead = 0;
  for (int64_t c = 0; c < classes; ++c) {
    if (std::isnan(logits[c])) return classes;
    ahead += logits[c] > logits[label] || (logits[c] == logits[label] && c < label);
  }
  return ahead;
}

double negative_log_likelihood(const float* logits, int64_t classes, int64_t label) {
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t c = 0; c < classes; ++c) top = std::max(top, static_cast<double>(logits[c]));
  if (!std::isfinite(top)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - top);
  return std::log(sum) - (static_cast<double>(logits[label]) - top);
}

class TopAccuracy : public ShareMetric {
 public:
  TopAccuracy(const char* name, int64_t places, const ClassificationOptions& options)
      : name_(name), places_(places), options_(options) {}
  void add(const Batch& batch, const Tensor& prediction) override {
    const Rows rows = rows_of(name_, batch, prediction);
    for (int64_t row = 0; row < rows.count; ++row) {
      const int64_t label = rows.label_of(row);
      if (label == options_.ignored_label) continue;
      check_label(name_, label, rows.classes);
      const int64_t ahead = rank_of(rows.logits_of(row), rows.classes, label);
      count(ahead < std::min(places_, rows.classes), 1);
    }
  }

 private:
  const char* name_;
  int64_t places_;
  ClassificationOptions options_;
};

class CrossEntropy : public MeanMetric {
 public:
  explicit CrossEntropy(const ClassificationOptions& options) : options_(options) {}
  void add(const Batch& batch, const Tensor& prediction) override {
    const Rows rows = rows_of("cross_entropy", batch, prediction);
    for (int64_t row = 0; row < rows.count; ++row) {
      const int64_t label = rows.label_of(row);
      if (label == options_.ignored_label) continue;
      check_label("cross_entropy", label, rows.classes);
      add_sum(negative_log_likelihood(rows.logits_of(row), rows.classes, label), 1);
    }
  }

 private:
  ClassificationOptions options_;
};

using Options = ClassificationOptions;
const bool registered[] = {
    metric_kind().add<Options>("accuracy", "share of labels with the highest logit",
                               [](const Options& options) { return accuracy(options); }),
    metric_kind().add<Options>("top5", "share of labels among the five highest logits",
                               [](const Options& options) { return top5(options); }),
    metric_kind().add<Options>("cross_entropy", "mean cross entropy without label smoothing",
                               [](const Options& options) { return cross_entropy(options); }),
};

}  // namespace

std::unique_ptr<Metric> accuracy(const ClassificationOptions& options) {
  return std::make_unique<TopAccuracy>("accuracy", 1, options);
}

std::unique_ptr<Metric> top5(const ClassificationOptions& options) {
  return std::make_unique<TopAccuracy>("top5", 5, options);
}

std::unique_ptr<Metric> cross_entropy(const ClassificationOptions& options) {
  return std::make_unique<CrossEntropy>(options);
}

}  // namespace sing::metrics
