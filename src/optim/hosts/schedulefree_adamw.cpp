// Schedule-Free AdamW (Defazio et al. 2024), the authors' reference form. Three points move: z by
// AdamW's step, x as a weighted mean of all z, and y between them, where gradients are taken. The
// parameters hold y in training and x in evaluation; x is recovered from y and z.
#include "optim/hosts/moments.h"
#include "optim/hosts/own_rate.h"

namespace sing::optim {
namespace {

struct ScheduleFreeOptions : MomentOptions {
  int64_t warmup_steps = 0;
  double r = 0;
  double weight_lr_power = 2;

  ScheduleFreeOptions() { lr = 2.5e-3; }
  static void describe(config::Fields<ScheduleFreeOptions>& f) {
    f.base<MomentOptions>();
    f("warmup_steps", &ScheduleFreeOptions::warmup_steps, "steps of a linear rise of the rate")
        .non_negative();
    f("r", &ScheduleFreeOptions::r, "weight of step t in the mean grows as t^r");
    f("weight_lr_power", &ScheduleFreeOptions::weight_lr_power,
      "and as this power of the largest rate so far");
    f.check([](const ScheduleFreeOptions& o, config::Checker& c) {
      if (o.betas[0] == 0)
        c.fail("betas",
               "schedulefree_adamw wants a first beta above 0: it places the point of the "
               "gradient between the mean and the steps");
    });
  }
};

/// x from y = beta1 x + (1 - beta1) z.
template <class T>
struct Mean {
  T beta1, rest;
  explicit Mean(double beta) : beta1(static_cast<T>(beta)), rest(static_cast<T>(1 - beta)) {}
  SING_ALWAYS_INLINE T operator()(T y, T z) const { return (y - rest * z) / beta1; }
};

/// The parameters become x.
template <class T>
struct TakeMean {
  using Element = T;
  static constexpr int kSlots = 1;
  Mean<T> mean;
  SING_ALWAYS_INLINE T operator()(T y, T, T* s) const { return mean(y, s[0]); }
};

template <class T, bool kFirst>
struct ScheduleFreeStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  Mean<T> mean;
  T rate, decay, root_correction, eps;
  T weight, kept;  // of z and of x in the mean
  SING_ALWAYS_INLINE T operator()(T y, T g, T first, T* s) const {
    T z = kFirst ? y : s[0];
    const T x = kFirst ? y : mean(y, z);
    z = z - decay * y;
    s[1] = moments.second(s[1], g);
    z = z - rate * first / (std::sqrt(s[1]) * root_correction + eps);
    s[0] = z;
    return mean.beta1 * (kept * x + weight * z) + mean.rest * z;
  }
};

class ScheduleFreeAdamW final : public MomentHost<ScheduleFreeOptions> {
 public:
  using MomentHost::MomentHost;
  bool has_momentum() const override { return false; }
  bool decoupled_by_default(bool) const override { return true; }
  bool decays_itself() const override { return o_.decoupled.value_or(true); }
  std::vector<SlotSpec> slots() const override {
    return {{"z"}, {"v"}, tensor_scalar("weights"), tensor_scalar("largest_rate")};
  }
  void begin_step(std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors) {
      const double t = static_cast<double>(r.step);
      const double rate = o_.warmup_steps > 0
                              ? r.lr * std::min(1.0, t / static_cast<double>(o_.warmup_steps))
                              : r.lr;
      double& weights = *static_cast<double*>(r.slots[2]);
      double& largest = *static_cast<double*>(r.slots[3]);
      largest = std::max(largest, rate);
      const double weight = std::pow(t, o_.r) * std::pow(largest, o_.weight_lr_power);
      weights += weight;
      r.numbers[kRate] = rate;
      r.numbers[kWeight] = weights > 0 ? weight / weights : 0;
    }
  }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const double rate = r.numbers[kRate], weight = r.numbers[kWeight];
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kFirst>() {
            run_update(r, ScheduleFreeStep<T, kFirst>{
                              Moments<T>(n), Mean<T>(o_.betas[0]), static_cast<T>(rate),
                              static_cast<T>(decays_itself() ? rate * r.weight_decay : 0),
                              static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps),
                              static_cast<T>(weight), static_cast<T>(1 - weight)});
          },
          r.step == 1);
    });
  }
  bool has_evaluation_weights() const override { return true; }
  void evaluation_weights(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      const TakeMean<T> take{Mean<T>(o_.betas[0])};
      for_pieces(r, [&](const UpdateRange& piece) { run_update(piece, take); });
    });
  }
  void check(const OptimizerConfig& config, config::Checker& c) const override {
    refuse_schedule(config, c, "schedulefree_adamw",
                    "remove the schedule; warmup_steps of the host is its warm-up");
    if (config.lookahead)
      c.fail("lookahead", "schedulefree_adamw averages its weights itself", "remove lookahead");
    if (config.ema || config.swa)
      c.fail(config.ema ? "ema" : "swa", "schedulefree_adamw has weights for evaluation of its own",
             "remove ema and swa");
  }

 private:
  enum Number : size_t { kRate, kWeight };
};

const bool registered = add_host<ScheduleFreeOptions>(
    "schedulefree_adamw", "AdamW that averages in place of a falling rate",
    [](const ScheduleFreeOptions& o) { return std::make_unique<ScheduleFreeAdamW>(o); });

}  // namespace
}  // namespace sing::optim
