// Adaptive gradient clipping (Brock et al. 2021, arXiv:2102.06171) as in timm: a unit is an index
// of dimension 0, or the whole of a tensor of one dimension at most; its gradient may be
// clip_factor times as long as its weights.
#include "optim/statistics.h"
#include "optim/transforms/stages.h"

namespace sing::optim {
namespace {

struct AgcOptions {
  double clip_factor = 0.01;
  double eps = 1e-3;

  static void describe(config::Fields<AgcOptions>& f) {
    f("clip_factor", &AgcOptions::clip_factor, "longest gradient, in lengths of its weights")
        .positive();
    f("eps", &AgcOptions::eps, "weights count as at least this long").positive();
  }
  double factor(double weights, double gradient) const {
    return agc_scale(weights, gradient, clip_factor, eps);
  }
};

class Agc final : public GradientTransform {
 public:
  explicit Agc(const AgcOptions& options) : options_(options) {}
  std::optional<RowRequest> rows(const TensorMeta& meta) const override {
    return RowRequest{meta.rank() > 1 ? Scope::row : Scope::tensor, false};
  }
  void attach(const ParamTable& table) override {
    std::vector<std::optional<RowRequest>> requests;
    for (const TensorMeta& meta : table.metas()) {
      requests.push_back(rows(meta));
      scales_.emplace_back(static_cast<size_t>(meta.rank() > 1 ? meta.rows : 1));
    }
    weights_ = std::make_unique<StatisticsPass>(table, requests);
    values_.resize(table.size());
  }
  void finish(const ParamTable& table, std::span<const TensorStatistics> statistics,
              std::span<Affine> maps) override {
    for (size_t i = 0; i < maps.size(); ++i)
      values_[i] = statistics[i].present ? table.parameter(i).value.raw() : nullptr;
    weights_->run(values_);
    for (size_t i = 0; i < maps.size(); ++i)
      if (statistics[i].present) clip(statistics[i], weights_->results()[i], scales_[i], maps[i]);
  }
  std::vector<StageRule> rules() const override {
    return {{StageRule::Kind::agc, options_.clip_factor, options_.eps}};
  }

 private:
  void clip(const TensorStatistics& gradient, const TensorStatistics& weights,
            std::vector<double>& scales, Affine& map) const {
    for (size_t row = 0; row < scales.size(); ++row) {
      const double before = map.row_scale != nullptr ? map.row_scale[row] : 1;
      const double length = row_norm(gradient, row, map.centred()) * before * map.scale;
      scales[row] = before * options_.factor(row_norm(weights, row, false), length);
    }
    map.row_scale = scales.data();
    map.row_length = gradient.row_length;
  }

  AgcOptions options_;
  std::unique_ptr<StatisticsPass> weights_;
  std::vector<const void*> values_;
  std::vector<std::vector<double>> scales_;  // by tensor, by unit
};

const bool registered = transform_kind().add<AgcOptions>(
    "agc", "shorten the gradient of each unit to a share of the length of its weights",
    [](const AgcOptions& o) { return std::make_unique<Agc>(o); });

}  // namespace
}  // namespace sing::optim
