// AdaBound and AMSBound (Luo et al. 2019): the rate of each element is clamped between two bounds
// that close in on final_lr, which follows the schedule.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

struct AdaBoundOptions : MomentOptions {
  double final_lr = 0.1;
  double gamma = 1e-3;
  bool amsbound = false;

  static void describe(config::Fields<AdaBoundOptions>& f) {
    f.base<MomentOptions>();
    f("final_lr", &AdaBoundOptions::final_lr, "rate that the bounds close in on").positive();
    f("gamma", &AdaBoundOptions::gamma, "how fast they do").positive();
    f("amsbound", &AdaBoundOptions::amsbound, "divide by the largest second moment so far");
  }
};

template <class T, bool kAmsbound>
struct AdaBoundStep {
  using Element = T;
  static constexpr int kSlots = kAmsbound ? 3 : 2;
  Moments<T> moments;
  T rate, eps, low, high;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    T v = s[1];
    if constexpr (kAmsbound) v = s[2] = s[2] > v ? s[2] : v;
    const T own = rate / (std::sqrt(v) + eps);
    const T raised = own > low ? own : low;
    return theta - (raised < high ? raised : high) * s[0];
  }
};

class AdaBound final : public MomentHost<AdaBoundOptions> {
 public:
  using MomentHost::MomentHost;
  std::vector<SlotSpec> slots() const override { return moment_slots(o_.amsbound); }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const double t = static_cast<double>(r.step);
    const double target = r.base_lr > 0 ? o_.final_lr * r.lr / r.base_lr : 0;
    const double low = target * (1 - 1 / (o_.gamma * t + 1));
    const double high = target * (1 + 1 / (o_.gamma * t));
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kAmsbound>() {
            run_update(r, AdaBoundStep<T, kAmsbound>{Moments<T>(n), static_cast<T>(r.lr * n.rate()),
                                                     nonzero<T>(o_.eps), static_cast<T>(low),
                                                     static_cast<T>(high)});
          },
          o_.amsbound);
    });
  }
};

const bool registered = add_host<AdaBoundOptions>(
    "adabound", "Adam whose rates close in on that of SGD",
    [](const AdaBoundOptions& o) { return std::make_unique<AdaBound>(o); });

}  // namespace
}  // namespace sing::optim
