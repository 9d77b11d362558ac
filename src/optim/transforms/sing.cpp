// The published transform: subtract the mean of each output row, then divide by the norm of the
// tensor (Courtois et al., arXiv:2307.06098, section 3; the epsilon is added to the norm).
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct SingOptions {
  bool centralize = true;
  bool normalize = true;
  double eps = 1e-8;
  Scope scope = Scope::row;

  static void describe(config::Fields<SingOptions>& f) {
    f("centralize", &SingOptions::centralize,
      "subtract the mean (tensors of two or more dimensions)");
    f("normalize", &SingOptions::normalize, "divide by the norm of the tensor");
    f("eps", &SingOptions::eps, "added to the norm").non_negative();
    f("scope", &SingOptions::scope, "one mean per output row, or per tensor");
  }
};

class Sing final : public GradientTransform {
 public:
  explicit Sing(const SingOptions& options) : options_(options) {}
  std::optional<RowRequest> rows(const TensorMeta& meta) const override {
    if (!options_.centralize || meta.rank() <= 1) return std::nullopt;
    return RowRequest{options_.scope, true};
  }
  bool normalizes() const override { return options_.normalize; }
  void finish(const ParamTable& table, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i) {
      if (!statistics[i].present) continue;
      if (rows(table.meta(i))) subtract_mean(statistics[i], maps[i]);
      if (options_.normalize) divide_by_norm(statistics[i], options_.eps, maps[i]);
    }
  }

  std::vector<StageRule> rules() const override {
    std::vector<StageRule> result;
    if (options_.centralize) result.push_back({StageRule::Kind::centre});
    if (options_.normalize) result.push_back({StageRule::Kind::normalize, options_.eps});
    return result;
  }

 private:
  SingOptions options_;
};

const bool registered = transform_kind().add<SingOptions>(
    "sing", "centre each output row, then normalise each tensor",
    [](const SingOptions& o) { return std::make_unique<Sing>(o); });

}  // namespace
}  // namespace sing::optim
