// Norm clipping as in torch.nn.utils.clip_grad_norm_, over all tensors or one by one.
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct ClipNormOptions {
  double max_norm = 1;

  static void describe(config::Fields<ClipNormOptions>& f) {
    f("max_norm", &ClipNormOptions::max_norm, "longest norm let through").positive();
  }
  double factor(double norm) const { return clipping_scale(norm, max_norm); }
};

class ClipGlobalNorm final : public GradientTransform {
 public:
  explicit ClipGlobalNorm(const ClipNormOptions& options) : options_(options) {}
  bool only_scales() const override { return true; }
  void finish(const ParamTable&, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    double squares = 0;
    for (size_t i = 0; i < maps.size(); ++i) {
      if (!statistics[i].present) continue;
      const double norm = norm_under(maps[i], statistics[i]);
      squares += norm * norm;
    }
    const double factor = options_.factor(std::sqrt(squares));
    for (Affine& map : maps) map.scale *= factor;
  }
  std::vector<StageRule> rules() const override {
    return {{StageRule::Kind::clip_global, options_.max_norm}};
  }

 private:
  ClipNormOptions options_;
};

class ClipTensorNorm final : public GradientTransform {
 public:
  explicit ClipTensorNorm(const ClipNormOptions& options) : options_(options) {}
  bool only_scales() const override { return true; }
  void finish(const ParamTable&, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i)
      if (statistics[i].present)
        maps[i].scale *= options_.factor(norm_under(maps[i], statistics[i]));
  }
  std::vector<StageRule> rules() const override {
    return {{StageRule::Kind::clip_tensor, options_.max_norm}};
  }

 private:
  ClipNormOptions options_;
};

const bool registered_global = transform_kind().add<ClipNormOptions>(
    "clip_global_norm", "shorten all gradients together to a norm of max_norm",
    [](const ClipNormOptions& o) { return std::make_unique<ClipGlobalNorm>(o); });
const bool registered_tensor = transform_kind().add<ClipNormOptions>(
    "clip_tensor_norm", "shorten each tensor's gradient to a norm of max_norm",
    [](const ClipNormOptions& o) { return std::make_unique<ClipTensorNorm>(o); });

}  // namespace
}  // namespace sing::optim
