#pragma once
// What AdaFactor is wherever its tensors are: keys, state and rates.
#include <cmath>
#include <optional>
#include <vector>

#include "optim/hosts/factored.h"
#include "optim/hosts/own_rate.h"

namespace sing::optim {

struct AdaFactorOptions : HostOptions {
  double eps1 = 1e-30, eps2 = 1e-3;
  double clip_threshold = 1;
  double decay_rate = -0.8;
  std::optional<double> beta1;
  bool scale_parameter = true, relative_step = true, warmup_init = false;
  std::optional<double> softplus_beta;

  static void describe(config::Fields<AdaFactorOptions>& f) {
    using O = AdaFactorOptions;
    f.base<HostOptions>();
    f("eps1", &O::eps1, "added to the squares of the gradient").non_negative();
    f("eps2", &O::eps2, "size a tensor has at least, for scale_parameter").non_negative();
    f("clip_threshold", &O::clip_threshold, "largest root mean square of a step").positive();
    f("decay_rate", &O::decay_rate, "the past decays by 1 - step^decay_rate").at_most(0);
    f("beta1", &O::beta1, "decay of an average of the steps; null: none")
        .range(0, 1, config::Ends::low);
    f("scale_parameter", &O::scale_parameter, "steps in proportion to the size of the tensor");
    f("relative_step", &O::relative_step, "rate min(0.01, 1 / sqrt(step)) instead of lr");
    f("warmup_init", &O::warmup_init, "rate min(1e-6 step, 1 / sqrt(step))");
    f("softplus_beta", &O::softplus_beta, "soft floor of the root of the second moment; null: none")
        .positive();
    f.check([](const O& o, config::Checker& c) {
      if (o.warmup_init && !o.relative_step)
        c.fail("warmup_init", "warmup_init is a form of relative_step, which is off",
               "use the warm-up of a schedule");
    });
  }
};

inline std::optional<Shape> without(const TensorMeta& meta, int from_end) {
  if (meta.rank() < 2) return std::nullopt;
  std::vector<int64_t> dims(meta.shape.begin(), meta.shape.end());
  dims.erase(dims.end() - from_end);
  return Shape(dims);
}

/// The rate of one tensor, from the squares of its values.
struct AdaFactorRate {
  double plain, least, count;  // elements
  bool scales;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[0] = scales ? plain * std::max(least, std::sqrt(totals[0] / count)) : plain;
  }
};
/// The factor on u, from that and the squares of u.
struct AdaFactorClip {
  double threshold, count;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[1] = results[0] / std::max(1.0, std::sqrt(totals[0] / count) / threshold);
  }
};

/// What holds wherever the tensors are.
class AdaFactorRule : public HostOptimizer {
 public:
  explicit AdaFactorRule(const AdaFactorOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return true; }
  bool decays_itself() const override { return o_.decoupled.value_or(true); }
  bool has_momentum() const override { return o_.beta1.has_value(); }
  std::vector<SlotSpec> slots() const override {
    std::vector<SlotSpec> result{
        {"row", 0, [](const TensorMeta& meta) { return without(meta, 1); }},
        {"col", 0, [](const TensorMeta& meta) { return without(meta, 2); }},
        {"v", 0, [](const TensorMeta& meta) {
           return meta.rank() < 2 ? std::optional(meta.shape) : std::nullopt;
         }}};
    if (o_.beta1) result.push_back({"m"});
    return result;
  }
  void check(const OptimizerConfig& config, config::Checker& c) const override {
    if (o_.relative_step)
      refuse_schedule(config, c, "adafactor with relative_step",
                      "set relative_step: false (and usually scale_parameter: false)");
  }

 protected:
  FactorRule factor_rule(const UpdateRange& r) const {
    return {1 - std::pow(static_cast<double>(r.step), o_.decay_rate), o_.eps1};
  }
  AdaFactorRate rate(const UpdateRange& r) const {
    return {plain_rate(r), o_.eps2, static_cast<double>(r.end), o_.scale_parameter};
  }
  AdaFactorClip clip(const UpdateRange& r) const {
    return {o_.clip_threshold, static_cast<double>(r.end)};
  }
  AdaFactorOptions o_;

 private:
  /// Before scale_parameter.
  double plain_rate(const UpdateRange& r) const {
    if (!o_.relative_step) return r.lr;
    const double t = static_cast<double>(r.step);
    double rate = std::min(o_.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
    if (o_.lr > 0) rate *= r.lr / o_.lr;  // factors of groups and of the trainer
    return rate;
  }
};

}  // namespace sing::optim
