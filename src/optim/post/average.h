#pragma once
#include <algorithm>
#include <string>

#include "optim/elementwise.h"
#include "sing/optim/post_step.h"

namespace sing::optim {

/// average <- average + weight (theta - average), where the subclass says how much in each step.
class WeightAverage : public PostStep {
 public:
  WeightAverage(std::string name, const ParamTable& table)
      : name_(std::move(name)), table_(table), average_(table.make_buffer()) {}

  /// Weight of theta in the step after `steps` others, when `count` averages were made; nothing:
  /// the average is left alone.
  virtual std::optional<double> weight(int64_t steps, int64_t count) const = 0;

  void begin_step() override { weight_ = weight(steps_, count_); }

  void apply(const PostRange& r) override {
    if (!weight_) return;
    const void* average = average_.slices[r.index].raw();
    with_element(r.dtype, [&]<class T>() {
      run_best<Body<T>>(typename Body<T>::Args{static_cast<const T*>(r.value),
                                               static_cast<T*>(const_cast<void*>(average)), r.begin,
                                               r.end, static_cast<T>(*weight_)});
    });
  }

  void end_step() override {
    ++steps_;
    if (weight_) ++count_;
  }

  void undo_step() override {
    --steps_;
    // Whether an average was made depends on the step alone, for all but the first.
    if (weight(steps_, std::max<int64_t>(0, count_ - 1))) --count_;
  }
  Rule rule() const override { return {Kind::average, weight_}; }
  Tensor& state(size_t index) override { return average_.slices[index]; }

  bool has_averages() const override { return count_ > 0; }

  void swap_averages() override {
    if (count_ == 0) return;
    for (size_t i = 0; i < average_.slices.size(); ++i) {
      Tensor& average = average_.slices[i];
      if (average.device().type != DeviceType::cpu) {
        Tensor& value = table_.parameter(i).value;
        const Tensor trained = value.clone();
        value.copy_from(average);
        average.copy_from(trained);
        continue;
      }
      with_element(table_.dtype(), [&]<class T>() {
        T* const value = static_cast<T*>(table_.parameter(i).value.mutable_raw());
        std::swap_ranges(value, value + table_.meta(i).numel(),
                         static_cast<T*>(average.mutable_raw()));
      });
    }
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.visit("optimizer/" + name_ + "/steps", steps_);
    visitor.visit("optimizer/" + name_ + "/count", count_);
    for (size_t i = 0; i < average_.slices.size(); ++i)
      visitor.visit("optimizer/" + table_.meta(i).name + "/average", average_.slices[i]);
  }

 private:
  template <class T>
  struct Body {
    struct Args {
      const T* value;
      T* average;
      int64_t begin, end;
      T weight;
    };
    SING_ALWAYS_INLINE static void run(const Args& a) {
      const T* const value = a.value;
      T* const average = a.average;
      const T weight = a.weight, keep = 1 - weight;
#pragma GCC ivdep
      for (int64_t i = a.begin; i < a.end; ++i) average[i] = keep * average[i] + weight * value[i];
    }
  };

  std::string name_;
  const ParamTable& table_;
  ParamTable::Buffer average_;
  int64_t steps_ = 0;  // steps made
  int64_t count_ = 0;  // averages made
  std::optional<double> weight_;
};

}  // namespace sing::optim
