// SGD with momentum, dampening and Nesterov's form as in torch.optim.SGD: the buffer starts at the
// first gradient (undamped), the rate stays outside of it.
#include "optim/elementwise.h"

namespace sing::optim {
namespace {

struct SgdOptions : HardHostOptions {
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;

  static void describe(config::Fields<SgdOptions>& f) {
    f.base<HardHostOptions>();
    f("momentum", &SgdOptions::momentum, "decay of the buffer").range(0, 1, config::Ends::low);
    f("dampening", &SgdOptions::dampening, "1 - weight of a gradient in the buffer").range(0, 1);
    f("nesterov", &SgdOptions::nesterov, "step along gradient + momentum * buffer");
    f.check([](const SgdOptions& o, config::Checker& c) {
      if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
        c.fail("nesterov", "nesterov wants momentum > 0 and dampening 0");
    });
  }
};

template <class T>
struct PlainStep {
  using Element = T;
  static constexpr int kSlots = 0;
  T lr;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T*) const { return theta - lr * g; }
};

template <class T, bool kNesterov>
struct MomentumStep {
  using Element = T;
  static constexpr int kSlots = 1;
  T lr, momentum, carried, weight;  // carried: 0 on the first step, else momentum
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    s[0] = carried * s[0] + weight * g;
    return theta - lr * (kNesterov ? g + momentum * s[0] : s[0]);
  }
};

class Sgd final : public HostOptimizer {
 public:
  explicit Sgd(const SgdOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  std::vector<SlotSpec> slots() const override {
    return o_.momentum > 0 ? std::vector<SlotSpec>{{"momentum"}} : std::vector<SlotSpec>{};
  }
  bool has_momentum() const override { return o_.momentum > 0; }
  void update(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      const T lr = static_cast<T>(r.lr);
      if (o_.momentum == 0) return run_update(r, PlainStep<T>{lr});
      const bool first = r.step == 1;
      const double momentum = r.momentum.value_or(o_.momentum);
      const T carried = static_cast<T>(first ? 0 : momentum);
      const T weight = static_cast<T>(first ? 1 : 1 - o_.dampening);
      with_flags(
          [&]<bool kNesterov>() {
            run_update(r,
                       MomentumStep<T, kNesterov>{lr, static_cast<T>(momentum), carried, weight});
          },
          o_.nesterov);
    });
  }

 private:
  SgdOptions o_;
};

const bool registered =
    add_host<SgdOptions>("sgd", "stochastic gradient descent, with momentum if asked",
                         [](const SgdOptions& o) { return std::make_unique<Sgd>(o); });

}  // namespace
}  // namespace sing::optim
