// Gradient centralisation alone (Yong et al. 2020).
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct CentralizeOptions {
  Scope scope = Scope::row;
  bool conv_only = false;

  static void describe(config::Fields<CentralizeOptions>& f) {
    f("scope", &CentralizeOptions::scope, "one mean per output row, or per tensor");
    f("conv_only", &CentralizeOptions::conv_only, "only tensors of more than three dimensions");
  }
};

class Centralize final : public GradientTransform {
 public:
  explicit Centralize(const CentralizeOptions& options) : options_(options) {}
  std::optional<RowRequest> rows(const TensorMeta& meta) const override {
    if (meta.rank() <= (options_.conv_only ? 3 : 1)) return std::nullopt;
    return RowRequest{options_.scope, true};
  }
  void finish(const ParamTable& table, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i)
      if (statistics[i].present && rows(table.meta(i))) subtract_mean(statistics[i], maps[i]);
  }

  std::vector<StageRule> rules() const override { return {{StageRule::Kind::centre}}; }

 private:
  CentralizeOptions options_;
};

const bool registered = transform_kind().add<CentralizeOptions>(
    "centralize", "subtract the mean of each output row",
    [](const CentralizeOptions& o) { return std::make_unique<Centralize>(o); });

}  // namespace
}  // namespace sing::optim
