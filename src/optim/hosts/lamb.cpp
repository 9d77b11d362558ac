// LAMB (You et al. 2020) as in timm: gradients are clipped over all tensors first, weight decay is
// added to Adam's direction u, and a step is as long as its weights times the rate.
#include "optim/hosts/moments.h"
#include "optim/hosts/trust.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {
namespace {

struct LambOptions : TrustOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-6;
  std::optional<double> max_grad_norm = 1;
  bool bias_correction = true;
  std::optional<double> max_weight_norm;

  LambOptions() { weight_decay = 1e-2; }
  static void describe(config::Fields<LambOptions>& f) {
    f.base<TrustOptions>();
    f("betas", &LambOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &LambOptions::eps, "added to the root of the second moment").non_negative();
    f("max_grad_norm", &LambOptions::max_grad_norm,
      "longest gradient over all tensors together; null: no clipping")
        .positive();
    f("bias_correction", &LambOptions::bias_correction, "correct the moments' start at zero");
    f("max_weight_norm", &LambOptions::max_weight_norm,
      "weights count as at most this long; null: as long as they are")
        .positive();
  }
};

/// u = (m / c1) / (sqrt(v / c2) + eps) + inside theta.
template <class T>
struct LambDirection {
  T correction, root_correction, eps, inside;
  SING_ALWAYS_INLINE T operator()(T theta, const T* s) const {
    return s[0] * correction / (std::sqrt(s[1]) * root_correction + eps) + inside * theta;
  }
};

enum Result : size_t { kClip, kTrust };

/// Of the gradients of all tensors together.
struct LambClip {
  static constexpr bool kAllTensors = true;
  double longest;
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[kClip] = 1 / std::max(1.0, std::sqrt(totals[0]) / longest);
  }
};

/// New moments, and the squares of u and theta.
template <class T>
struct LambMoments {
  using Element = T;
  static constexpr int kSlots = 2;
  static constexpr int kSums = 2;
  Moments<T> moments;
  LambDirection<T> direction;
  T keep;
  bool clips;
  T clip = 1;
  SING_ALWAYS_INLINE void take(const double* results) {
    if (clips) clip = static_cast<T>(results[kClip]);
  }
  SING_ALWAYS_INLINE void terms(T theta, T g, T first, T* s, double* out) const {
    s[0] = moments.first(s[0], first * clip);
    s[1] = moments.second(s[1], g * clip);
    theta *= keep;
    const double u = static_cast<double>(direction(theta, s));
    out[0] = u * u;
    out[1] = static_cast<double>(theta) * static_cast<double>(theta);
  }
};

/// Length of the weights over that of u.
struct LambTrust {
  bool adapts, clips;
  double longest;  // that weights count as
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    const double u = std::sqrt(totals[0]), weights = std::min(std::sqrt(totals[1]), longest);
    const double ratio = !adapts || u == 0 || weights == 0 ? 1 : weights / u;
    results[kTrust] = clips ? std::min(ratio, 1.0) : ratio;
  }
};

template <class T>
struct LambStep {
  using Element = T;
  static constexpr int kSlots = 2;
  LambDirection<T> direction;
  double lr;
  T rate = 0;
  SING_ALWAYS_INLINE void take(const double* results) {
    rate = static_cast<T>(lr * results[kTrust]);
  }
  SING_ALWAYS_INLINE T operator()(T theta, T, T* s) const {
    return theta - rate * direction(theta, s);
  }
};

class Lamb final : public TrustHost<LambOptions> {
 public:
  using TrustHost::TrustHost;
  std::vector<SlotSpec> slots() const override { return moment_slots(false); }
  int passes() const override { return o_.max_grad_norm ? 3 : 2; }
  void update(const UpdateRange& r) const override {
    MomentNumbers n(o_.betas, r);
    if (!o_.bias_correction) n.c1 = n.c2 = 1;
    with_element(r.dtype, [&]<class T>() {
      const LambDirection<T> direction{static_cast<T>(1 / n.c1),
                                       static_cast<T>(1 / std::sqrt(n.c2)), nonzero<T>(o_.eps),
                                       static_cast<T>(inside(r))};
      switch (stage(r.pass)) {
        case Stage::clip:
          return run_sums(r, GradientSquares<T>{}, LambClip{*o_.max_grad_norm});
        case Stage::moments:
          return run_sums(
              r,
              LambMoments<T>{Moments<T>(n), direction, static_cast<T>(1 - r.decay),
                             o_.max_grad_norm.has_value()},
              LambTrust{adapts(r), o_.trust_clip,
                        o_.max_weight_norm.value_or(std::numeric_limits<double>::infinity())});
        case Stage::apply:
          return run_update(r, LambStep<T>{direction, r.lr});
      }
    });
  }
  void warn(const OptimizerConfig& config, std::vector<std::string>& out) const override {
    if (!o_.max_grad_norm) return;
    for (const auto& transform : config.transforms)
      if (transform.name() == "sing")
        out.push_back(
            "W0224: behind sing the max_grad_norm of lamb is a constant factor, 1 over the root of "
            "the number of tensors: set it to null");
  }

 private:
  enum class Stage { clip, moments, apply };
  Stage stage(int pass) const { return static_cast<Stage>(pass + (o_.max_grad_norm ? 0 : 1)); }
};

const bool registered =
    add_host<LambOptions>("lamb", "Adam with steps as long as the weights of their tensor",
                          [](const LambOptions& o) { return std::make_unique<Lamb>(o); });

}  // namespace
}  // namespace sing::optim
