// NAdam (Dozat 2016) as in torch.optim.NAdam from 2.0 on: Nesterov's look ahead inside Adam, with a
// momentum that warms up. Earlier releases of torch multiply the last factor by one momentum too
// many.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

struct NAdamOptions : MomentOptions {
  double momentum_decay = 4e-3;

  static void describe(config::Fields<NAdamOptions>& f) {
    f.base<MomentOptions>();
    f("momentum_decay", &NAdamOptions::momentum_decay, "how fast the momentum warms up")
        .non_negative();
  }
};

template <class T>
struct NAdamStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T gradient_rate, moment_rate, root_correction, eps;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    const T denominator = std::sqrt(s[1]) * root_correction + eps;
    return theta - (gradient_rate * first + moment_rate * s[0]) / denominator;
  }
};

class NAdam final : public MomentHost<NAdamOptions> {
 public:
  using MomentHost::MomentHost;
  // The rule has a momentum schedule of its own.
  bool has_momentum() const override { return false; }
  std::vector<SlotSpec> slots() const override {
    return {{"m"}, {"v"}, tensor_scalar("momentum_product", 1)};
  }
  void begin_step(std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors) {
      const auto momentum = [&](int64_t t) {
        return o_.betas[0] * (1 - 0.5 * std::pow(0.96, static_cast<double>(t) * o_.momentum_decay));
      };
      double& product = *static_cast<double*>(r.slots[2]);
      const double now = momentum(r.step), next = momentum(r.step + 1);
      product *= now;
      r.numbers = {r.lr * (1 - now) / (1 - product), r.lr * next / (1 - product * next)};
    }
  }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    with_element(r.dtype, [&]<class T>() {
      run_update(
          r, NAdamStep<T>{Moments<T>(n), static_cast<T>(r.numbers[0]), static_cast<T>(r.numbers[1]),
                          static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps)});
    });
  }
};

NAdamOptions defaults() {
  NAdamOptions options;
  options.lr = 2e-3;
  return options;
}

const bool registered = add_host<NAdamOptions>(
    "nadam", "Adam with Nesterov momentum",
    [](const NAdamOptions& o) { return std::make_unique<NAdam>(o); }, defaults());

}  // namespace
}  // namespace sing::optim
