// The two rules of an update that belong to no host.
#include <limits>

#include "kernels/cuda/optim_update.h"

namespace sing::cuda {
namespace {

struct Unchanged {
  using Element = float;
  static constexpr int kSlots = 0;
  SING_DEVICE float operator()(float theta, float, float*) const { return theta; }
};

/// Not affine stages and hosts that are not element-wise read g' from memory.
struct WriteGradient {
  using Element = float;
  static constexpr int kSlots = 0;
  float limit;
  // A NaN fails both comparisons and stays.
  SING_DEVICE float operator()(float, float g, float, float*) const {
    return g < -limit ? -limit : g > limit ? limit : g;
  }
};

}  // namespace

void launch_unchanged(const UpdateLaunch& a) {
  launch_update<Unchanged>(a);
}
void launch_write_gradient(const UpdateLaunch& a) {
  launch_update<WriteGradient>(a);
}

}  // namespace sing::cuda
