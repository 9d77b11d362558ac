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
  std::optional<Scope> centres(const TensorMeta& meta) const override {
    return meta.rank() > (options_.conv_only ? 3 : 1) ? std::optional(options_.scope)
                                                      : std::nullopt;
  }
  void finish(std::span<const TensorMeta> tensors, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) const override {
    for (size_t i = 0; i < maps.size(); ++i)
      if (statistics[i].present && centres(tensors[i])) subtract_mean(statistics[i], maps[i]);
  }

 private:
  CentralizeOptions options_;
};

const bool registered = transform_kind().add<CentralizeOptions>(
    "centralize", "subtract the mean of each output row",
    [](const CentralizeOptions& o) { return std::make_unique<Centralize>(o); });

}  // namespace
}  // namespace sing::optim
