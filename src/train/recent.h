#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sing/tensor/state_visitor.h"
#include "sing/train/trainer.h"

namespace sing::train {

/// The last 100 values of a number, as state that checkpoints carry.
class RunningMedian {
 public:
  static constexpr int64_t kWindow = 100;

  void add(double value) { values_[static_cast<size_t>(count_++ % kWindow)] = value; }
  bool full() const { return count_ >= kWindow; }
  /// 0 when nothing was added.
  double median() const {
    const size_t n = static_cast<size_t>(std::min(count_, kWindow));
    if (n == 0) return 0;
    std::array<double, kWindow> sorted = values_;
    std::nth_element(sorted.begin(), sorted.begin() + n / 2, sorted.begin() + n);
    return sorted[n / 2];
  }
  void visit_state(const std::string& name, StateVisitor& visitor) {
    visitor.visit(name + "/count", count_);
    Tensor tensor = Tensor::from(std::vector<double>(values_.begin(), values_.end()), {kWindow});
    visitor.visit(name + "/values", tensor);
    std::copy_n(tensor.data<double>(), kWindow, values_.begin());
  }

 private:
  std::array<double, kWindow> values_{};
  int64_t count_ = 0;
};

struct Trainer::Recent {
  RunningMedian loss, raw_norm;
};

}  // namespace sing::train
