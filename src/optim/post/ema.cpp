// Exponential moving average of the weights, with the warm-up of timm's ModelEma (gamma 1, power
// 2/3).
#include <algorithm>
#include <cmath>

#include "optim/elementwise.h"
#include "sing/optim/post_step.h"

namespace sing::optim {
namespace {

template <class T>
struct AverageBody {
  struct Args {
    const T* value;
    T* average;
    int64_t begin, end;
    T keep, weight;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const T* const value = a.value;
    T* const average = a.average;
    const T keep = a.keep, weight = a.weight;
#pragma GCC ivdep
    for (int64_t i = a.begin; i < a.end; ++i) average[i] = keep * average[i] + weight * value[i];
  }
};

class Ema final : public PostStep {
 public:
  Ema(const EmaOptions& options, const ParamTable& table)
      : options_(options), table_(table), average_(table.make_buffer()) {}

  void begin_step() override {
    if (count_ == 0) {  // copies: 0 * nothing + 1 * theta
      decay_ = 0;
      return;
    }
    const double s = static_cast<double>(count_);
    decay_ = options_.warmup ? std::min(options_.decay, 1 - std::pow(1 + s, -2.0 / 3.0))
                             : options_.decay;
  }

  void apply(const PostRange& r) override {
    const void* average = average_.slices[r.index].raw();
    with_element(r.dtype, [&]<class T>() {
      run_best<AverageBody<T>>(typename AverageBody<T>::Args{
          static_cast<const T*>(r.value), static_cast<T*>(const_cast<void*>(average)), r.begin,
          r.end, static_cast<T>(decay_), static_cast<T>(1 - decay_)});
    });
  }

  void end_step() override { ++count_; }

  void swap_averages() override {
    if (count_ == 0) return;
    for (size_t i = 0; i < average_.slices.size(); ++i)
      with_element(table_.dtype(), [&]<class T>() {
        T* const value = static_cast<T*>(table_.parameter(i).value.mutable_raw());
        std::swap_ranges(value, value + table_.meta(i).numel(),
                         static_cast<T*>(average_.slices[i].mutable_raw()));
      });
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.visit("optimizer/ema/count", count_);
    for (size_t i = 0; i < average_.slices.size(); ++i)
      visitor.visit("optimizer/" + table_.meta(i).name + "/average", average_.slices[i]);
  }

 private:
  EmaOptions options_;
  const ParamTable& table_;
  ParamTable::Buffer average_;
  int64_t count_ = 0;  // averages made
  double decay_ = 0;
};

}  // namespace

std::unique_ptr<PostStep> make_ema(const EmaOptions& options, const ParamTable& table) {
  return std::make_unique<Ema>(options, table);
}

void EmaOptions::describe(config::Fields<EmaOptions>& f) {
  f("decay", &EmaOptions::decay, "weight of the average so far").range(0, 1, config::Ends::low);
  f("warmup", &EmaOptions::warmup, "smaller decay in the first steps");
}

}  // namespace sing::optim
