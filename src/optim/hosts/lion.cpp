// Lion (Chen et al. 2023): a step of the same length for each element, along the sign of a mix of
// momentum and gradient; the momentum is updated behind it.
#include "optim/elementwise.h"

namespace sing::optim {
namespace {

struct LionOptions : HardHostOptions {
  std::array<double, 2> betas{0.9, 0.99};

  static void describe(config::Fields<LionOptions>& f) {
    f.base<HardHostOptions>();
    f("betas", &LionOptions::betas, "share of the momentum in the step, and its decay")
        .range(0, 1, config::Ends::low);
  }
};

template <class T>
struct LionStep {
  using Element = T;
  static constexpr int kSlots = 1;
  T lr, beta1, weight1, beta2, weight2;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    const T mix = beta1 * s[0] + weight1 * g;
    const T sign = mix > 0 ? T(1) : mix < 0 ? T(-1) : T(0);
    s[0] = beta2 * s[0] + weight2 * g;
    return theta - lr * sign;
  }
};

class Lion final : public HostOptimizer {
 public:
  explicit Lion(const LionOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return true; }
  bool has_momentum() const override { return true; }
  std::vector<SlotSpec> slots() const override { return {{"m"}}; }
  void update(const UpdateRange& r) const override {
    const double beta1 = r.momentum.value_or(o_.betas[0]);
    with_element(r.dtype, [&]<class T>() {
      run_update(r,
                 LionStep<T>{static_cast<T>(r.lr), static_cast<T>(beta1), static_cast<T>(1 - beta1),
                             static_cast<T>(o_.betas[1]), static_cast<T>(1 - o_.betas[1])});
    });
  }

 private:
  LionOptions o_;
};

LionOptions defaults() {
  LionOptions options;
  options.lr = 1e-4;
  return options;
}

const bool registered = add_host<LionOptions>(
    "lion", "sign of a mix of momentum and gradient",
    [](const LionOptions& o) { return std::make_unique<Lion>(o); }, defaults());

}  // namespace
}  // namespace sing::optim
