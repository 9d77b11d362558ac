// AdaNorm (Dubey et al., WACV 2023): a gradient shorter than the average of its past lengths goes
// into the first moment at that average length. The second moment sees it as it is.
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct AdaNormOptions {
  double r = 0.95;

  static void describe(config::Fields<AdaNormOptions>& f) {
    f("r", &AdaNormOptions::r, "decay of the average length").range(0, 1, config::Ends::low);
  }
};

class AdaNorm final : public GradientTransform {
 public:
  explicit AdaNorm(const AdaNormOptions& options) : options_(options) {}
  bool must_be_last() const override { return true; }
  void attach(const ParamTable& table) override {
    for (const TensorMeta& meta : table.metas()) names_.push_back(meta.name);
    averages_.resize(names_.size());
  }
  void finish(const ParamTable&, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i) {
      if (!statistics[i].present) continue;
      const double norm = norm_under(maps[i], statistics[i]);
      maps[i].first_moment = adanorm_lift(averages_[i], norm, options_.r);
    }
  }
  void visit_state(StateVisitor& visitor) override {
    for (size_t i = 0; i < averages_.size(); ++i)
      visitor.visit("optimizer/" + names_[i] + "/adanorm", averages_[i]);
  }

  std::vector<StageRule> rules() const override { return {{StageRule::Kind::adanorm, options_.r}}; }
  std::span<double> numbers() override { return averages_; }

 private:
  AdaNormOptions options_;
  std::vector<std::string> names_;
  std::vector<double> averages_;
};

const bool registered = transform_kind().add<AdaNormOptions>(
    "adanorm", "lengthen gradients that are shorter than usual, for the first moment only",
    [](const AdaNormOptions& o) { return std::make_unique<AdaNorm>(o); });

}  // namespace
}  // namespace sing::optim
