// Division by the norm of the tensor alone.
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct NormalizeOptions {
  double eps = 1e-8;

  static void describe(config::Fields<NormalizeOptions>& f) {
    f("eps", &NormalizeOptions::eps, "added to the norm").non_negative();
  }
};

class Normalize final : public GradientTransform {
 public:
  explicit Normalize(const NormalizeOptions& options) : options_(options) {}
  bool normalizes() const override { return true; }
  void finish(const ParamTable&, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i)
      if (statistics[i].present) divide_by_norm(statistics[i], options_.eps, maps[i]);
  }

  std::vector<StageRule> rules() const override {
    return {{StageRule::Kind::normalize, options_.eps}};
  }

 private:
  NormalizeOptions options_;
};

const bool registered = transform_kind().add<NormalizeOptions>(
    "normalize", "divide by the norm of the tensor",
    [](const NormalizeOptions& o) { return std::make_unique<Normalize>(o); });

}  // namespace
}  // namespace sing::optim
