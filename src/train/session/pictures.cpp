#include "train/session/pictures.h"

#include <fmt/format.h>

#include <algorithm>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/log.h"
#include "sing/data/image_io.h"
#include "sing/data/picture.h"
#include "sing/train/console.h"
#include "sing/train/metrics_log.h"
#include "sing/train/svg_plot.h"
#include "sing/train/trainer.h"

namespace sing::train {
namespace {

using Points = std::vector<std::pair<double, double>>;

/// Centred moving average over about a hundredth of the run.
Points smoothed(const Points& points) {
  const size_t half = std::max<size_t>(1, points.size() / 200);
  Points result;
  for (size_t i = 0; i < points.size(); ++i) {
    const size_t first = i < half ? 0 : i - half, last = std::min(points.size(), i + half + 1);
    double sum = 0;
    for (size_t j = first; j < last; ++j) sum += points[j].second;
    result.emplace_back(points[i].first, sum / static_cast<double>(last - first));
  }
  return result;
}

}  // namespace

void PictureCallback::draw_curves() const {
  const std::vector<MetricsRecord> records = read_metrics(folder_.file("metrics.jsonl"));
  Plot loss;
  loss.title = "training loss";
  loss.x_label = "step";
  loss.log_y = true;
  const Points raw = series(records, "train/loss");
  loss.series.push_back({"each step", raw, -1, true});
  loss.series.push_back({"train", smoothed(raw), -1, false});
  std::string text;
  Plot quality;
  quality.title = board_->split + " metrics";
  quality.x_label = "step";
  for (const EvalValue& value : board_->latest.values) {
    const std::string name = "eval/" + board_->split + "/" + value.metric;
    Points points = series(records, name);
    if (value.traits.share) {
      PlotSeries line{value.metric, points, -1, false};
      if (value.metric == board_->best_metric)
        for (size_t i = 0; i < points.size(); ++i)
          if (static_cast<int64_t>(points[i].first) == board_->best_step)
            line.marked = static_cast<int>(i);
      quality.series.push_back(std::move(line));
    } else {
      loss.series.push_back({board_->split + " " + value.metric, points, -1, false});
    }
  }
  write_file_atomically(folder_.file("curves.svg"), to_svg(loss));
  if (!quality.series.empty()) write_file_atomically(folder_.file("metrics.svg"), to_svg(quality));
}

void PictureCallback::on_event(Event event, Trainer& trainer) {
  const bool ended = event == Event::run_end && trainer.outcome() != Outcome::stopped;
  if (event != Event::eval_end && !ended) return;
  try {
    if (event == Event::eval_end && board_->latest.first_output.defined()) {
      make_directories(posix_file_system(), folder_.file("samples"));
      const data::Picture picture =
          data::prediction_panel(board_->latest.first.inputs(), board_->latest.first.targets(),
                                 board_->latest.first_output);
      const std::string name = fmt::format("samples/step-{:08}.png", trainer.counters().step);
      data::write_png(folder_.file(name), picture);
      panel_ = name;
    }
    const double now = monotonic_seconds();
    if (!ended && !budget_.due(now)) return;
    draw_curves();
    budget_.drawn(now, monotonic_seconds());
  } catch (const Error& error) {  // pictures are worth a warning, never a run
    log_warning(std::string("a picture could not be written: ") + error.what());
  }
}

}  // namespace sing::train
