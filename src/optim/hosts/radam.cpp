// RAdam (Liu et al. 2020) as in torch.optim.RAdam: no division by the second moment until its
// variance is bounded (more than 5 steps' worth), and eps before its correction.
#include "optim/hosts/moments.h"
#include "optim/hosts/rectification.h"

namespace sing::optim {
namespace {

template <class T, bool kRectified>
struct RAdamStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, eps;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    return theta - rate * s[0] / (kRectified ? std::sqrt(s[1]) + eps : T(1));
  }
};

class RAdam final : public MomentHost<MomentOptions> {
 public:
  using MomentHost::MomentHost;
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const Rectification rectification(n.beta2, r.step);
    const bool rectified = rectification.rho > 5;
    const double rate = rectified ? r.lr * rectification.factor * n.rate() : r.lr / n.c1;
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kRectified>() {
            run_update(r, RAdamStep<T, kRectified>{Moments<T>(n), static_cast<T>(rate),
                                                   nonzero<T>(o_.eps)});
          },
          rectified);
    });
  }
};

const bool registered =
    add_host<MomentOptions>("radam", "Adam that waits for its second moment",
                            [](const MomentOptions& o) { return std::make_unique<RAdam>(o); });

}  // namespace
}  // namespace sing::optim
