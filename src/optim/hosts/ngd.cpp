// Normalised gradient descent: a step of fixed length over all tensors together (equation 26b of
// the SING paper); with momentum the average is normalised (Cutkosky & Mehta 2020).
#include "optim/elementwise.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {
namespace {

struct NgdOptions : HardHostOptions {
  double momentum = 0;
  double eps = 1e-8;

  static void describe(config::Fields<NgdOptions>& f) {
    f.base<HardHostOptions>();
    f("momentum", &NgdOptions::momentum, "decay of the average").range(0, 1, config::Ends::low);
    f("eps", &NgdOptions::eps, "added to the norm over all tensors").non_negative();
  }
};

/// m <- momentum m + (1 - momentum) g, and the sum of squares of what the step goes along.
template <class T, bool kMomentum>
struct Direction {
  using Element = T;
  static constexpr int kSlots = kMomentum ? 1 : 0;
  static constexpr int kSums = 1;
  T momentum, weight;
  SING_ALWAYS_INLINE void terms(T, T, T first, T* s, double* out) const {
    if constexpr (kMomentum) first = s[0] = momentum * s[0] + weight * first;
    out[0] = static_cast<double>(first) * static_cast<double>(first);
  }
};

/// The norm of that over all tensors together.
struct NgdLength {
  static constexpr bool kAllTensors = true;
  double eps;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[0] = std::sqrt(totals[0]) + eps;
  }
};

template <class T, bool kMomentum>
struct NgdStep {
  using Element = T;
  static constexpr int kSlots = kMomentum ? 1 : 0;
  double lr;
  T rate = 0, rate_high = 1;  // product: lr / norm
  SING_ALWAYS_INLINE void take(const double* results) {
    const double length = results[0];
    split_scale(length > 0 ? lr / length : 0, rate, rate_high);
  }
  SING_ALWAYS_INLINE T operator()(T theta, T g, T* s) const {
    return theta - (kMomentum ? s[0] : g) * rate * rate_high;
  }
};

class Ngd final : public HostOptimizer {
 public:
  explicit Ngd(const NgdOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return true; }
  bool has_momentum() const override { return o_.momentum > 0; }
  std::vector<SlotSpec> slots() const override {
    return o_.momentum > 0 ? std::vector<SlotSpec>{{"m"}} : std::vector<SlotSpec>{};
  }
  int passes() const override { return 2; }
  void update(const UpdateRange& r) const override {
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kMomentum>() {
            if (r.pass == 0) {
              const double momentum = r.momentum.value_or(o_.momentum);
              return run_sums(
                  r,
                  Direction<T, kMomentum>{static_cast<T>(momentum), static_cast<T>(1 - momentum)},
                  NgdLength{o_.eps});
            }
            run_update(r, NgdStep<T, kMomentum>{r.lr});
          },
          o_.momentum > 0);
    });
  }
  void warn(const OptimizerConfig& config, std::vector<std::string>& out) const override {
    for (const auto& transform : config.transforms)
      if (transform.name() == "sing")
        out.push_back(
            "W0224: sing before ngd only divides by the root of the number of tensors: remove one "
            "of them, or take sgd");
  }

 private:
  NgdOptions o_;
};

const bool registered =
    add_host<NgdOptions>("ngd", "steps of one length over all tensors together",
                         [](const NgdOptions& o) { return std::make_unique<Ngd>(o); });

}  // namespace
}  // namespace sing::optim
