// AdamNorm (Dubey et al., WACV 2023): Adam whose first moment takes a gradient that is shorter than
// the average of past ones at that average length. As in the paper; the authors' file adds eps to
// the stored second moment at each step and gives NaN on a zero gradient.
#include "optim/hosts/moments.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {
namespace {

struct AdamNormOptions : MomentOptions {
  double r = 0.95;

  static void describe(config::Fields<AdamNormOptions>& f) {
    f.base<MomentOptions>();
    f("r", &AdamNormOptions::r, "decay of the average length").range(0, 1, config::Ends::low);
  }
};

template <class T>
struct AdamNormStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, root_correction, eps, lift;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    s[0] = moments.first(s[0], g * lift);
    s[1] = moments.second(s[1], g);
    return theta - rate * s[0] / (std::sqrt(s[1]) * root_correction + eps);
  }
};

class AdamNorm final : public MomentHost<AdamNormOptions> {
 public:
  using MomentHost::MomentHost;
  std::vector<SlotSpec> slots() const override { return {{"m"}, {"v"}, tensor_scalar("length")}; }
  int passes() const override { return 2; }
  void end_pass(int, std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors) {
      const double length = std::sqrt(r.totals[0]);
      double& average = *static_cast<double*>(r.slots[2]);
      average = o_.r * average + (1 - o_.r) * length;
      r.numbers[0] = average > length && length > 0 ? average / length : 1;
    }
  }
  void update(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      if (r.pass == 0) return run_sums(r, GradientSquares<T>{});
      const MomentNumbers n(o_.betas, r);
      run_update(r, AdamNormStep<T>{Moments<T>(n), static_cast<T>(r.lr / n.c1),
                                    static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps),
                                    static_cast<T>(r.numbers[0])});
    });
  }
  void check(const OptimizerConfig& config, config::Checker& c) const override {
    for (const auto& transform : config.transforms)
      if (transform.name() == "adanorm")
        c.fail("transforms", "adamnorm does itself what adanorm does",
               "remove adanorm, or take adam");
  }
};

const bool registered = add_host<AdamNormOptions>(
    "adamnorm", "Adam with lengthened short gradients in its first moment",
    [](const AdamNormOptions& o) { return std::make_unique<AdamNorm>(o); });

}  // namespace
}  // namespace sing::optim
