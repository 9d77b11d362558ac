// Stochastic weight averaging: the plain mean of the weights at chosen steps late in the run.
#include "optim/post/average.h"

namespace sing::optim {
namespace {

class Swa final : public WeightAverage {
 public:
  Swa(const SwaOptions& options, const ParamTable& table, const RunLength& run)
      : WeightAverage("swa", table),
        start_(resolve(options.start, run, "optimizer.swa.start")),
        every_(std::max<int64_t>(1, resolve(options.every, run, "optimizer.swa.every"))) {}

  std::optional<double> weight(int64_t steps, int64_t count) const override {
    const int64_t made = steps + 1;  // updates, this one included
    if (made < start_ || (made - start_) % every_ != 0) return std::nullopt;
    return 1 / static_cast<double>(count + 1);
  }

 private:
  int64_t start_, every_;
};

}  // namespace

std::unique_ptr<PostStep> make_swa(const SwaOptions& options, const ParamTable& table,
                                   const RunLength& run) {
  return std::make_unique<Swa>(options, table, run);
}

void SwaOptions::describe(config::Fields<SwaOptions>& f) {
  f("start", &SwaOptions::start, "updates before the first average").non_negative();
  f("every", &SwaOptions::every, "updates between two averages").positive();
}

}  // namespace sing::optim
