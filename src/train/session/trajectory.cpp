#include "train/session/trajectory.h"

#include <algorithm>
#include <ranges>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/core/log.h"
#include "sing/nn/landscape.h"
#include "sing/nn/models/point.h"
#include "sing/train/metrics_log.h"
#include "sing/train/session.h"
#include "sing/train/svg_plot.h"
#include "sing/train/trainer.h"

namespace sing::train {
namespace {

constexpr int kCurvePoints = 800;
constexpr int kGrey = 6;  // of the palette

/// What the legend calls a run: "sgd", "sing + sgd".
std::string label_of(const optim::OptimizerConfig& config) {
  std::string label;
  for (const auto& transform : config.transforms) label += transform.name() + " + ";
  return label + config.host.name();
}

class TrajectoryCallback final : public Callback {
 public:
  TrajectoryCallback(const nn::Landscape& landscape, double start, std::string label,
                     const RunFolder& folder)
      : landscape_(landscape), start_(start), label_(std::move(label)), folder_(folder) {}

  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }
  void on_event(Event event, Trainer& trainer) override {
    const bool ended = event == Event::run_end && trainer.outcome() != Outcome::stopped;
    if (event != Event::eval_end && !ended) return;
    try {
      draw();
    } catch (const Error& error) {  // pictures are worth a warning, never a run
      log_warning(std::string("trajectory.svg could not be written: ") + error.what());
    }
  }

 private:
  void draw() const {
    Plot plot;
    plot.title = "Iterates from one start";
    plot.x_label = "x";
    plot.y_label = "f(x)";
    plot.height = 460;
    PlotSeries curve{"f", {}, -1, false};
    curve.colour = kGrey;
    for (int i = 0; i <= kCurvePoints; ++i) {
      const double share = static_cast<double>(i) / kCurvePoints;
      const double x = landscape_.low() + share * (landscape_.high() - landscape_.low());
      curve.points.emplace_back(x, landscape_.at(x));
    }
    plot.series.push_back(std::move(curve));
    if (!landscape_.beside().empty()) add_other(plot);
    add(plot, label_, start_, folder_.path());
    const auto [lowest, highest] = std::ranges::minmax(plot.series[0].points | std::views::values);
    const double gap = 0.06 * (highest - lowest);
    for (const auto& minimum : landscape_.minima())
      plot.notes.push_back({minimum.x, landscape_.at(minimum.x) - gap, minimum.label});
    const double aside = 0.045 * (landscape_.high() - landscape_.low());
    plot.notes.push_back({start_ + aside, landscape_.at(start_) + gap, "start"});
    write_file_atomically(folder_.file("trajectory.svg"), to_svg(plot));
  }

  void add(Plot& plot, const std::string& name, double start, const std::string& run) const {
    PlotSeries line{name, {{start, landscape_.at(start)}}, -1, false};
    for (const auto& [step, x] : series(read_metrics(run + "/metrics.jsonl"), "point/0"))
      line.points.emplace_back(x, landscape_.at(x));
    line.dots = true;
    plot.series.push_back(std::move(line));
  }

  void add_other(Plot& plot) const {
    const std::string run = RunFolder::open(landscape_.beside()).path();
    Experiment other(load_run_config(run).config);
    const auto* point = dynamic_cast<const nn::Point*>(&other.model());
    if (point == nullptr)
      throw ConfigError("loss.beside: " + run + " is no run of model point", {}, {}, "E0231");
    add(plot, label_of(other.config().optimizer), point->start(), run);
  }

  const nn::Landscape& landscape_;
  double start_;
  std::string label_;
  const RunFolder& folder_;
};

}  // namespace

std::shared_ptr<Callback> trajectory_callback(Experiment& experiment, const RunFolder& folder) {
  const auto* landscape = dynamic_cast<const nn::Landscape*>(&experiment.loss());
  const auto* point = dynamic_cast<const nn::Point*>(&experiment.model());
  if (landscape == nullptr || point == nullptr) return nullptr;
  return std::make_shared<TrajectoryCallback>(*landscape, point->start(),
                                              label_of(experiment.config().optimizer), folder);
}

}  // namespace sing::train
