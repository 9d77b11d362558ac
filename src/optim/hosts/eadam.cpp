// EAdam (Yuan and Gao 2020): eps goes into the second moment and stays there; none is added outside
// of the root.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

template <class T>
struct EAdamStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, eps;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g) + eps;
    return theta - rate * s[0] / std::sqrt(s[1]);
  }
};

class EAdam final : public MomentHost<MomentOptions> {
 public:
  using MomentHost::MomentHost;
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    with_element(r.dtype, [&]<class T>() {
      run_update(r,
                 EAdamStep<T>{Moments<T>(n), static_cast<T>(r.lr * n.rate()), nonzero<T>(o_.eps)});
    });
  }
};

const bool registered =
    add_host<MomentOptions>("eadam", "Adam with eps inside the second moment",
                            [](const MomentOptions& o) { return std::make_unique<EAdam>(o); });

}  // namespace
}  // namespace sing::optim
