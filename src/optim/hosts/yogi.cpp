// Yogi (Zaheer et al. 2018) as in optax: the second moment moves by at most (1 - beta2) g^2 towards
// g^2, and both moments start at a small number, which the bias corrections ignore.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

struct YogiOptions : MomentOptions {
  double initial_accumulator = 1e-6;

  static void describe(config::Fields<YogiOptions>& f) {
    f.base<MomentOptions>();
    f("initial_accumulator", &YogiOptions::initial_accumulator,
      "both moments before the first step")
        .non_negative();
  }
};

template <class T>
struct YogiStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, root_correction, eps;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    const T square = g * g;
    const T v = s[1];
    const T sign = v > square ? T(1) : v < square ? T(-1) : T(0);
    s[1] = v - moments.weight2 * sign * square;
    return theta - rate * s[0] / (std::sqrt(s[1]) * root_correction + eps);
  }
};

class Yogi final : public MomentHost<YogiOptions> {
 public:
  using MomentHost::MomentHost;
  std::vector<SlotSpec> slots() const override {
    return {{"m", o_.initial_accumulator}, {"v", o_.initial_accumulator}};
  }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    with_element(r.dtype, [&]<class T>() {
      run_update(r, YogiStep<T>{Moments<T>(n), static_cast<T>(r.lr / n.c1),
                                static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps)});
    });
  }
};

YogiOptions defaults() {
  YogiOptions options;
  options.lr = 1e-2;
  options.eps = 1e-3;
  return options;
}

const bool registered = add_host<YogiOptions>(
    "yogi", "Adam whose second moment grows and shrinks by small steps",
    [](const YogiOptions& o) { return std::make_unique<Yogi>(o); }, defaults());

}  // namespace
}  // namespace sing::optim
