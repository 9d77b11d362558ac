#include "train/session/summary.h"

#include <fmt/format.h>

#include <cmath>

#include "sing/train/metrics_log.h"
#include "sing/train/progress.h"

namespace sing::train {
namespace {

std::vector<std::string> next_commands(const RunFolder& folder) {
  return {"sing-eval " + folder.path(), "sing-predict " + folder.path() + " INPUT.png -o OUT.png",
          "sing-train --resume " + folder.path()};
}

/// What became of `expect:`; empty without one.
std::string expectation(const Experiment& experiment, const EvalBoard& board) {
  const auto& expect = experiment.config().expect;
  if (!expect || board.latest_step < 0) return {};
  if (expect->diverge) return "expected to diverge; it did not";
  for (const EvalValue& value : board.latest.values) {
    if ("eval/" + board.split + "/" + value.metric != expect->metric) continue;
    const bool inside = value.value >= expect->low && value.value <= expect->high;
    return fmt::format("{} {} is {} the expected band {} to {}", value.metric,
                       metric_text(value.value, value.traits.share), inside ? "inside" : "OUTSIDE",
                       metric_text(expect->low, value.traits.share),
                       metric_text(expect->high, value.traits.share));
  }
  return {};
}

}  // namespace

void restore_board(EvalBoard& board, const std::string& metrics_path, int64_t step) {
  if (board.best_metric.empty()) return;
  const std::string name = "eval/" + board.split + "/" + board.best_metric;
  for (const auto& [at, value] : series(read_metrics(metrics_path), name)) {
    if (at > static_cast<double>(step) || std::isnan(value)) continue;
    if (board.best && (board.higher_is_better ? value <= *board.best : value >= *board.best))
      continue;
    board.best = value;
    board.best_step = static_cast<int64_t>(at);
  }
}

void write_summary(const RunFolder& folder, Experiment& experiment, const Trainer& trainer,
                   const EvalBoard& board, const std::string& panel) {
  const Counters& counters = trainer.counters();
  JsonValue summary;
  summary.set("run", folder.id());
  summary.set("folder", folder.path());
  summary.set("step", counters.step);
  summary.set("epoch", trainer.epoch());
  summary.set("samples", counters.samples);
  summary.set("seconds", counters.seconds);
  summary.set("spikes", counters.spikes);
  summary.set("skipped", counters.skipped);
  summary.set("rollbacks", counters.rollbacks);
  JsonValue last;
  for (const EvalValue& value : board.latest.values)
    last.set("eval/" + board.split + "/" + value.metric, value.value);
  summary.set("last", last);
  if (board.latest_step >= 0)
    summary.set("weights", board.latest.averaged ? "averaged" : "trained");
  if (board.best) {
    summary.set("best",
                JsonValue::object({{"metric", "eval/" + board.split + "/" + board.best_metric},
                                   {"value", *board.best},
                                   {"step", board.best_step},
                                   {"split", board.split}}));
  }
  const std::string expected = expectation(experiment, board);
  if (!expected.empty()) summary.set("expect", expected);
  summary.set("tensors", static_cast<int64_t>(experiment.model().describe().size()));
  JsonValue pictures = JsonValue::object({{"curves", "curves.svg"}});
  if (!panel.empty()) pictures.set("panel", panel);
  summary.set("pictures", pictures);
  JsonValue next = JsonValue::array();
  for (const std::string& command : next_commands(folder)) next.push_back(command);
  summary.set("next", next);
  folder.write_text("summary.json", to_json(summary, {.indent = 2}) + "\n");
}

void show_summary(Console& console, const RunFolder& folder, Experiment& experiment,
                  const Trainer& trainer, const EvalBoard& board, const std::string& panel) {
  const Counters& counters = trainer.counters();
  console.finish();
  Fields fields{{"step", std::to_string(counters.step)},
                {"seconds", fmt::format("{:.1f}", counters.seconds)},
                {"folder", folder.path()}};
  if (board.best)
    fields.emplace_back(
        "best", fmt::format("{}={:.4g}@{}", board.best_metric, *board.best, board.best_step));
  fields.emplace_back("curves", folder.file("curves.svg"));
  if (!panel.empty()) fields.emplace_back("panel", folder.file(panel));
  std::string text =
      fmt::format("\ndone   step {} in {}", grouped(counters.step), short_time(counters.seconds));
  if (board.latest_step >= 0) text += "   " + eval_text(board.latest);
  if (board.best) text += "\nbest     " + board.best_text() + " (" + board.split + ")";
  const std::string expected = expectation(experiment, board);
  if (!expected.empty()) {
    fields.emplace_back("expect", expected);
    text += "\nexpect   " + expected;
  }
  text += "\nfolder   " + folder.path() + "\ncurves   " + folder.file("curves.svg");
  if (!panel.empty()) text += "\npicture  " + folder.file(panel);
  const char* labels[] = {"evaluate", "predict ", "continue"};
  const std::vector<std::string> commands = next_commands(folder);
  for (size_t i = 0; i < commands.size(); ++i)
    text += fmt::format("\n{} {}", labels[i], commands[i]);
  console.event("done", fields, text);
}

}  // namespace sing::train
