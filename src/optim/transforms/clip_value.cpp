// Clamps every element; not affine.
#include <algorithm>

#include "optim/elementwise.h"
#include "sing/core/thread_pool.h"
#include "sing/optim/transform.h"

namespace sing::optim {
namespace {

struct ClipValueOptions {
  double max_value = 1;

  static void describe(config::Fields<ClipValueOptions>& f) {
    f("max_value", &ClipValueOptions::max_value, "largest magnitude let through").positive();
  }
};

class ClipValue final : public GradientTransform {
 public:
  explicit ClipValue(const ClipValueOptions& options) : options_(options) {}
  bool affine() const override { return false; }
  void apply(size_t, const TensorMeta& meta, Tensor& gradient) override {
    with_element(meta.dtype, [&]<class T>() {
      T* const g = static_cast<T*>(gradient.mutable_raw());
      const T limit = static_cast<T>(options_.max_value);
      parallel_ranges(meta.numel(), 16384, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) g[i] = std::clamp(g[i], -limit, limit);
      });
    });
  }

  std::vector<StageRule> rules() const override {
    return {{StageRule::Kind::clip_value, options_.max_value}};
  }

 private:
  ClipValueOptions options_;
};

const bool registered = transform_kind().add<ClipValueOptions>(
    "clip_value", "clamp every element to +- max_value",
    [](const ClipValueOptions& o) { return std::make_unique<ClipValue>(o); });

}  // namespace
}  // namespace sing::optim
