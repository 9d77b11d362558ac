// ADOPT (Taniguchi et al. 2024): the gradient is divided by the root of the second moment of the
// steps before it, clamped, and only then goes into the first moment. The first step only measures.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

struct AdoptOptions : HardHostOptions {
  std::array<double, 2> betas{0.9, 0.9999};
  double eps = 1e-6;
  double clip_power = 0.25;

  static void describe(config::Fields<AdoptOptions>& f) {
    f.base<HardHostOptions>();
    f("betas", &AdoptOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &AdoptOptions::eps, "smallest denominator").non_negative();
    f("clip_power", &AdoptOptions::clip_power, "scaled gradients are clamped to t^clip_power")
        .non_negative();
  }
};

template <class T>
struct AdoptFirst {
  using Element = T;
  static constexpr int kSlots = 2;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T, T* s) const {
    s[1] = g * g;
    return theta;
  }
};

template <class T>
struct AdoptStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T lr, eps, limit;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    const T root = std::sqrt(s[1]);
    const T scaled = first / (root > eps ? root : eps);
    const T low = scaled > -limit ? scaled : -limit;
    s[0] = moments.first(s[0], low < limit ? low : limit);
    s[1] = moments.second(s[1], g);
    return theta - lr * s[0];
  }
};

class Adopt final : public MomentHost<AdoptOptions> {
 public:
  using MomentHost::MomentHost;
  void begin_step(std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors)
      if (r.step == 1) r.decay = 0;  // nothing moves in the first step
  }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const double limit = std::pow(static_cast<double>(r.step - 1), o_.clip_power);
    with_element(r.dtype, [&]<class T>() {
      if (r.step == 1) return run_update(r, AdoptFirst<T>{});
      run_update(r, AdoptStep<T>{Moments<T>(n), static_cast<T>(r.lr), nonzero<T>(o_.eps),
                                 static_cast<T>(limit)});
    });
  }
};

const bool registered =
    add_host<AdoptOptions>("adopt", "Adam that divides by the second moment of earlier steps",
                           [](const AdoptOptions& o) { return std::make_unique<Adopt>(o); });

}  // namespace
}  // namespace sing::optim
