// Adam and AdamW as in torch.optim: the epsilon is added outside the root, after bias correction;
// amsgrad keeps the largest uncorrected v. With softplus_beta the denominator is softplus of the
// corrected root and no epsilon is added (SING, section 4 of the paper). eps_mode and decay_last
// are for runs that repeat those of older fairseq and Hugging Face releases.
#include "optim/hosts/adam.h"

#include "optim/hosts/moments.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

template <class T, bool kAmsgrad, bool kSoftplus>
struct AdamStep {
  using Element = T;
  static constexpr int kSlots = kAmsgrad ? 3 : 2;
  Moments<T> moments;
  T rate;             // lr / (1 - beta1^t)
  T root_correction;  // 1 / sqrt(1 - beta2^t)
  T eps;
  Softplus<T> soft;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    T v = s[1];
    if constexpr (kAmsgrad) v = s[2] = s[2] > v ? s[2] : v;
    const T root = std::sqrt(v) * root_correction;
    const T moment = rate * s[0];
    return theta - (kSoftplus ? soft.divide(moment, root) : moment / (root + eps));
  }
};

/// Weight decay behind any step.
template <class Step>
struct DecayLast : Step {
  typename Step::Element keep;
  using T = typename Step::Element;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    return keep * Step::operator()(theta, g, first, s);
  }
};

class Adam final : public MomentHost<AdamOptions> {
 public:
  Adam(const AdamOptions& options, bool decoupled) : MomentHost(options), decoupled_(decoupled) {}
  bool decoupled_by_default(bool sing) const override { return decoupled_ || sing; }
  std::vector<SlotSpec> slots() const override { return moment_slots(o_.amsgrad); }
  bool decays_itself() const override { return o_.decay_last; }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const bool legacy = o_.eps_mode == EpsMode::legacy;
    const double rate = legacy ? r.lr * n.rate() : r.lr / n.c1;
    const double root_correction = legacy ? 1 : 1 / std::sqrt(n.c2);
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kAmsgrad, bool kSoftplus>() {
            using Step = AdamStep<T, kAmsgrad, kSoftplus>;
            const Step step{Moments<T>(n), static_cast<T>(rate), static_cast<T>(root_correction),
                            nonzero<T>(o_.eps), Softplus<T>(o_.softplus_beta.value_or(1))};
            if (!o_.decay_last) return run_update(r, step);
            run_update(r, DecayLast<Step>{step, static_cast<T>(1 - r.lr * r.weight_decay)});
          },
          o_.amsgrad, o_.softplus_beta.has_value());
    });
  }

 private:
  bool decoupled_;
};

AdamOptions adamw_defaults() {
  AdamOptions options;
  options.weight_decay = 1e-2;
  return options;
}

const bool registered_adam =
    add_host<AdamOptions>("adam", "Adam; weight decay is part of the gradient",
                          [](const AdamOptions& o) { return std::make_unique<Adam>(o, false); });
const bool registered_adamw = add_host<AdamOptions>(
    "adamw", "Adam with decoupled weight decay",
    [](const AdamOptions& o) { return std::make_unique<Adam>(o, true); }, adamw_defaults());

}  // namespace
}  // namespace sing::optim
