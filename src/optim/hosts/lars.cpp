// LARS (You et al. 2017) as in timm: gradients are scaled to the length of their weights, then SGD
// with momentum. The norm of the gradient is taken before weight decay is added to it.
#include "optim/hosts/trust.h"

namespace sing::optim {
namespace {

struct LarsOptions : TrustOptions {
  double momentum = 0.9;
  double dampening = 0;
  bool nesterov = false;
  double eps = 1e-8;
  double trust_coefficient = 1e-3;

  LarsOptions() { lr = 1; }
  static void describe(config::Fields<LarsOptions>& f) {
    f.base<TrustOptions>();
    f("momentum", &LarsOptions::momentum, "decay of the buffer").range(0, 1, config::Ends::low);
    f("dampening", &LarsOptions::dampening, "1 - weight of a gradient in the buffer").range(0, 1);
    f("nesterov", &LarsOptions::nesterov, "step along gradient + momentum * buffer");
    f("eps", &LarsOptions::eps, "added to the norm of the gradient").non_negative();
    f("trust_coefficient", &LarsOptions::trust_coefficient,
      "length of a scaled gradient, in lengths of its weights")
        .positive();
    f.check([](const LarsOptions& o, config::Checker& c) {
      if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
        c.fail("nesterov", "nesterov wants momentum > 0 and dampening 0");
    });
  }
};

template <class T>
struct Lengths {
  using Element = T;
  static constexpr int kSlots = 0;
  static constexpr int kSums = 2;
  T keep;
  SING_ALWAYS_INLINE void terms(T theta, T, T first, T*, double* out) const {
    theta *= keep;
    out[0] = static_cast<double>(first) * static_cast<double>(first);
    out[1] = static_cast<double>(theta) * static_cast<double>(theta);
  }
};

/// What gradients are scaled with.
struct LarsTrust {
  double coefficient, inside, eps, lr;
  bool clips;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    const double gradient = std::sqrt(totals[0]), weights = std::sqrt(totals[1]);
    double ratio = 1;
    if (gradient > 0 && weights > 0)
      ratio = coefficient * weights / (gradient + inside * weights + eps);
    results[0] = clips ? std::min(ratio / lr, 1.0) : ratio;
  }
};

template <class T, bool kMomentum, bool kNesterov>
struct LarsStep {
  using Element = T;
  static constexpr int kSlots = kMomentum ? 1 : 0;
  T lr, inside, momentum;
  T carried, weight;  // of the buffer and the gradient; 0 and 1 on the first step
  bool adapts;
  T trust = 1;
  SING_ALWAYS_INLINE void take(const double* results) {
    if (adapts) trust = static_cast<T>(results[0]);
  }
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    g = trust * (g + inside * theta);
    if constexpr (!kMomentum) return theta - lr * g;
    s[0] = carried * s[0] + weight * g;
    return theta - lr * (kNesterov ? g + momentum * s[0] : s[0]);
  }
};

class Lars final : public TrustHost<LarsOptions> {
 public:
  using TrustHost::TrustHost;
  bool has_momentum() const override { return o_.momentum > 0; }
  std::vector<SlotSpec> slots() const override {
    return o_.momentum > 0 ? std::vector<SlotSpec>{{"momentum"}} : std::vector<SlotSpec>{};
  }
  int passes() const override { return 2; }
  void update(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      if (r.pass == 0) {
        if (adapts(r))
          run_sums(r, Lengths<T>{static_cast<T>(1 - r.decay)},
                   LarsTrust{o_.trust_coefficient, inside(r), o_.eps, r.lr, o_.trust_clip});
        return;
      }
      const bool first = r.step == 1;
      const double momentum = r.momentum.value_or(o_.momentum);
      with_flags(
          [&]<bool kMomentum, bool kNesterov>() {
            run_update(r, LarsStep<T, kMomentum, kNesterov>{
                              static_cast<T>(r.lr), static_cast<T>(inside(r)),
                              static_cast<T>(momentum), static_cast<T>(first ? 0 : momentum),
                              static_cast<T>(first ? 1 : 1 - o_.dampening), adapts(r)});
          },
          o_.momentum > 0, o_.nesterov);
    });
  }
};

const bool registered =
    add_host<LarsOptions>("lars", "SGD with gradients scaled to the length of their weights",
                          [](const LarsOptions& o) { return std::make_unique<Lars>(o); });

}  // namespace
}  // namespace sing::optim
