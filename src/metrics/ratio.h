#pragma once
#include <limits>

#include "sing/core/error.h"
#include "sing/metrics/metric.h"

namespace sing::metrics {

/// On the host, dense, in f32 (f64 stays f64 only where a metric asks for it).
inline Tensor host_floats(const Tensor& tensor) {
  return tensor.to(Device{}).to(DType::f32).contiguous();
}

inline void require(bool fits, const char* metric, const char* wanted, const Tensor& got) {
  if (!fits)
    throw ShapeError(std::string(metric) + ": wanted " + wanted + "; got " + describe(got));
}

/// Right ones out of all.
class ShareMetric : public Metric {
 public:
  double value() const override {
    return all_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : static_cast<double>(right_) / static_cast<double>(all_);
  }
  void reset() override { right_ = all_ = 0; }
  void visit_state(StateVisitor& visitor) override {
    visitor.visit("right", right_);
    visitor.visit("all", all_);
  }
  Traits traits() const override { return {.share = true, .higher_is_better = true}; }

 protected:
  void count(int64_t right, int64_t all) {
    right_ += right;
    all_ += all;
  }

 private:
  int64_t right_ = 0, all_ = 0;
};

/// A sum of doubles over a count; `add_sum` is called once per sample, in the order of samples.
class MeanMetric : public Metric {
 public:
  double value() const override {
    return count_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                       : sum_ / static_cast<double>(count_);
  }
  void reset() override {
    sum_ = 0;
    count_ = 0;
  }
  void visit_state(StateVisitor& visitor) override {
    visitor.visit("sum", sum_);
    visitor.visit("count", count_);
  }
  Traits traits() const override { return {}; }

 protected:
  void add_sum(double sum, int64_t count) {
    sum_ += sum;
    count_ += count;
  }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace sing::metrics
