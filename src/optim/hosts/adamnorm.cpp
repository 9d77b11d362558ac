// AdamNorm (Dubey et al., WACV 2023): Adam whose first moment takes a gradient that is shorter than
// the average of past ones at that average length. As in the paper; the authors' file adds eps to
// the stored second moment at each step and gives NaN on a zero gradient.
#include "optim/hosts/moments.h"
#include "optim/stage_math.h"
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

/// Moves the average length on and makes the factor of the first moment.
struct AdamNormLift {
  double r;
  double* average;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[0] = adanorm_lift(*average, std::sqrt(totals[0]), r);
  }
};

template <class T>
struct AdamNormStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, root_correction, eps;
  T lift = 1;
  SING_ALWAYS_INLINE void take(const double* results) { lift = static_cast<T>(results[0]); }
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    s[0] = moments.first(s[0], g * lift);
    s[1] = moments.second(s[1], g);
    return theta - rate * s[0] / (std::sqrt(s[1]) * root_correction + eps);
  }
};

class AdamNorm final : public MomentHost<AdamNormOptions> {
 public:
  using MomentHost::MomentHost;
  std::vector<SlotSpec> slots() const override { return {{"m"}, {"v"}, tensor_sum("length")}; }
  int passes() const override { return 2; }
  void update(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      if (r.pass == 0)
        return run_sums(r, GradientSquares<T>{},
                        AdamNormLift{o_.r, static_cast<double*>(r.slots[2])});
      const MomentNumbers n(o_.betas, r);
      run_update(r, AdamNormStep<T>{Moments<T>(n), static_cast<T>(r.lr / n.c1),
                                    static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps)});
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
