#include "sing/train/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/log.h"
#include "sing/core/thread_pool.h"
#include "sing/data/subset.h"
#include "sing/tensor/safetensors.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/memory_plan.h"
#include "sing/train/metrics_log.h"
#include "sing/train/run_folder.h"
#include "sing/train/signals.h"
#include "train/callbacks/display.h"
#include "train/callbacks/evaluate.h"
#include "train/callbacks/norm_growth.h"
#include "train/callbacks/profile.h"
#include "train/callbacks/rates.h"
#include "train/callbacks/record.h"
#include "train/callbacks/save.h"
#include "train/feed.h"
#include "train/session/environment.h"
#include "train/session/pictures.h"
#include "train/session/summary.h"
#include "train/session/trajectory.h"

namespace sing::train {
namespace {

/// One start of a run, from the choice of its folder to its summary.
class Session {
 public:
  Session(const LoadedConfig& config, const SessionOptions& options)
      : loaded_(config), options_(options), complete_(config::to_value(config.config)) {}

  SessionReport run();

 private:
  void choose_folder();
  void compare_with_checkpoint() const;
  void refuse_repeated_failure() const;
  void write_opening_files() const;
  void train(SessionReport& report);
  void resume(Trainer& trainer);
  std::string keep_batch(const Trainer& trainer, const char* what) const;
  void report_failure(const Error& error, int64_t step) const;
  OutOfMemoryError with_what_fits(const OutOfMemoryError& error) const;
  void report_stop(const SessionReport& report, const std::string& saved) const;
  std::string name() const;

  const LoadedConfig& loaded_;
  const SessionOptions& options_;
  config::Value complete_;
  std::unique_ptr<Experiment> experiment_;
  std::string device_notice_;
  std::optional<RunFolder> folder_;
  std::optional<RunLock> lock_;
  std::string start_from_;  // checkpoint folder; empty: the newest of the run, if any
  std::optional<RunStatus> status_before_;
  bool continued_ = false;
  std::unique_ptr<Console> console_;
  int64_t step_ = 0;
};

std::string Session::name() const {
  if (!options_.name.empty()) return options_.name;
  return loaded_.config.name.empty() ? "run" : loaded_.config.name;
}

void Session::choose_folder() {
  const std::string& resume = options_.resume;
  if (resume == "auto") {
    folder_ =
        find_unfinished(options_.output_root, name(), run_hash(complete_), options_.max_steps);
    continued_ = folder_.has_value();
  } else if (resume != "never" && RunFolder::is_run(resume)) {
    folder_ = RunFolder::open(resume);  // its newest checkpoint, once the lock is held
    continued_ = true;
  } else if (resume != "never") {
    const CheckpointPlace place = find_checkpoint(resume);
    start_from_ = place.folder;
    if (!place.run.empty()) {
      const RunFolder run = RunFolder::open(place.run);
      const std::vector<int64_t> steps =
          CheckpointStore(posix_file_system(), run.checkpoints()).steps();
      // Going on from an older state would leave newer checkpoints that are not its future: such a
      // branch gets a folder of its own.
      if (!steps.empty() && checkpoint_name(steps.back()) == name_of_path(place.folder)) {
        folder_ = run;
        continued_ = true;
      }
    }
  }
  if (!folder_) folder_ = RunFolder::create(options_.output_root, name());
  lock_ = RunLock::acquire(folder_->path(), options_.lock);
  status_before_ = folder_->status();
}

void Session::compare_with_checkpoint() const {
  const std::string run = continued_            ? folder_->path()
                          : start_from_.empty() ? ""
                                                : folder_of(folder_of(start_from_));
  if (run.empty() || !posix_file_system().stat(run + "/config.yaml").ok()) return;
  const LoadedConfig before = load_run_config(run);
  std::string lines;
  for (const config::Difference& change :
       config_changes(config::to_value(before.config), complete_)) {
    if (std::find(options_.allow_change.begin(), options_.allow_change.end(), change.path) !=
        options_.allow_change.end())
      continue;
    lines += fmt::format("\n  {:<28} checkpoint {:<12} config {}", change.path, change.before,
                         change.after);
  }
  if (lines.empty()) return;
  throw ConfigError(
      "checkpoint " + (start_from_.empty() ? run : start_from_) + " was made with another config" +
          lines,
      {},
      "to continue it: sing-train --resume " + run +
          "     to start anew from its weights: model.init_from=<that path>     to change a key "
          "all the same: --allow-change KEY",
      "E0240");
}

void Session::refuse_repeated_failure() const {
  constexpr int64_t kTwice = 2;
  if (!continued_ || !status_before_ || status_before_->failures < kTwice ||
      status_before_->exit_code != static_cast<int>(ExitCode::diverged) ||
      options_.resume != "auto")
    return;
  throw DivergedError(
      "run " + folder_->id() + " failed twice at step " +
          std::to_string(status_before_->failed_step) + ": " + status_before_->reason,
      {}, "it would fail again: change the config, or start anew with --resume never", "E0505");
}

void Session::write_opening_files() const {
  const std::string header = "# Resolved config of this run: the same file gives the same run.\n";
  folder_->write_text("config.yaml", header + loaded_.print_full());
  folder_->write_text("config.origin.yaml", loaded_.print_origin());
  folder_->write_text("command.txt", options_.command + "\n");
  folder_->write_text("env.json", to_json(environment_facts(), {.indent = 2}) + "\n");
}

std::string Session::keep_batch(const Trainer& trainer, const char* what) const {
  const std::string name =
      fmt::format("samples/{}-{}.safetensors", what, trainer.counters().step + 1);
  try {
    make_directories(posix_file_system(), folder_->file("samples"));
    std::map<std::string, Tensor> tensors;
    for (const NamedTensor& entry : trainer.batch().entries())
      tensors[entry.name] = entry.tensor.to(Device{});
    save_tensors(folder_->file(name), tensors);
    return name;
  } catch (const Error& error) {
    log_warning(std::string("the batch could not be kept: ") + error.what());
    return {};
  }
}

void Session::resume(Trainer& trainer) {
  std::optional<LoadedCheckpoint> checkpoint;
  if (!start_from_.empty()) {
    checkpoint = load_checkpoint(start_from_);
  } else if (continued_) {
    checkpoint = CheckpointStore(posix_file_system(), folder_->checkpoints()).load_newest();
  }
  if (!checkpoint) return;  // stopped before its first checkpoint: from the beginning
  for (const std::string& reason : checkpoint->passed_over)
    console_->warning("W0402", "checkpoint passed over: " + reason);
  const JsonValue* fingerprint = checkpoint->contents.state.find("data");
  const std::string now = trainer.loader().dataset().fingerprint();
  const bool allowed = std::find(options_.allow_change.begin(), options_.allow_change.end(),
                                 "data") != options_.allow_change.end();
  if (fingerprint && fingerprint->is_string() && fingerprint->as_string() != now && !allowed)
    throw ConfigError("the data set is not the one the checkpoint was made with",
                      "checkpoint " + fingerprint->as_string() + ", now " + now,
                      "--allow-change data goes on all the same", "E0242");
  restore_checkpoint(trainer, checkpoint->contents);
  step_ = checkpoint->step;
}

void Session::train(SessionReport& report) {
  const ExperimentConfig& config = loaded_.config;
  Experiment& experiment = *experiment_;
  std::string precision_notice;
  const Precision precision = experiment.precision(&precision_notice);
  experiment.initialize_model();
  const std::unique_ptr<optim::Optimizer> optimizer = experiment.make_optimizer();

  const Device device = experiment.device();
  std::shared_ptr<const data::Dataset> dataset = experiment.source().open(data::Split::train);
  if (options_.overfit > 0) dataset = data::first_samples(dataset, options_.overfit);
  dataset = on_device(dataset, device);
  data::LoaderOptions loading = data::loader_options(experiment.batches(), data::Split::train,
                                                     static_cast<uint64_t>(config.seed));
  if (options_.tiny_batch > 0) loading.batch_size = options_.tiny_batch;
  loading.interrupted = [] { return stop_signal() != 0; };
  loading.device = device;
  data::Loader loader(dataset, loading);

  TrainerOptions trainer_options;
  trainer_options.seed = static_cast<uint64_t>(config.seed);
  trainer_options.accumulate = config.train.accumulate;
  trainer_options.total_steps = experiment.total_steps();
  trainer_options.total_seconds = experiment.total_seconds();
  trainer_options.max_steps = options_.max_steps;
  if (config.train.max_time) trainer_options.max_time = config.train.max_time->value;
  trainer_options.on_nonfinite = config.train.on_nonfinite;
  trainer_options.spike = config.train.spike;
  trainer_options.precision = precision;
  trainer_options.device = device;
  trainer_options.graph = config.train.graph == GraphUse::automatic;
  Trainer trainer(trainer_options, experiment.model(), experiment.loss(), loader, *optimizer);

  if (!options_.config_source.empty()) console_->head("config", options_.config_source);
  for (const auto& [label, text] : banner_lines(experiment, *optimizer, precision))
    console_->head(label, text);
  console_->head("output", folder_->path());
  for (const std::string& text : {device_notice_, precision_notice})
    if (!text.empty()) console_->event("note", {{"what", text}}, "  note     " + text);
  if (!experiment.init_report().empty())
    console_->event("note", {{"what", experiment.init_report()}}, experiment.init_report());
  for (const config::Diagnostic& warning : loaded_.warnings)
    console_->warning(warning.code, warning.what, warning.hint);
  for (const std::string& warning :
       optim::warnings(config.optimizer, !experiment.init_report().empty())) {
    const size_t colon = warning.find(": ");
    console_->warning(warning.substr(0, colon),
                      colon == std::string::npos ? warning : warning.substr(colon + 2));
  }

  CheckpointRetention retention;
  retention.keep_last = static_cast<int>(config.checkpoint.keep_last);
  const auto board = std::make_shared<EvalBoard>();
  StatisticsRequest statistics;
  statistics.dataset = dataset;
  statistics.loading = loading;
  statistics.precision = precision;
  statistics.batches = config.eval.statistics_batches;
  if (options_.eval_limit > 0)
    statistics.batches = std::max<int64_t>(1, options_.eval_limit / loading.batch_size);
  statistics.interrupted = [] { return stop_signal() != 0; };
  const auto evaluation =
      std::make_shared<EvaluateCallback>(experiment, board, options_.eval_limit, statistics);
  retention.higher_is_better = board->higher_is_better;
  retention.keep_best = board->best_metric.empty() ? 0 : 1;
  if (config.checkpoint.keep_every) {
    const config::Duration& every = *config.checkpoint.keep_every;
    const double scale = every.unit == config::Duration::Unit::epochs
                             ? static_cast<double>(trainer.steps_per_epoch())
                             : 1.0;
    retention.keep_every = std::max<int64_t>(1, std::llround(every.value * scale));
  }
  CheckpointStore store(posix_file_system(), folder_->checkpoints(), retention);
  make_directories(posix_file_system(), folder_->checkpoints());
  store.recover();

  resume(trainer);
  if (continued_) restore_board(*board, folder_->file("metrics.jsonl"), trainer.counters().step);

  JsonValue facts = JsonValue::object({{"sing", environment_facts().at("sing")},
                                       {"config_hash", run_hash(complete_)},
                                       {"data", dataset->fingerprint()},
                                       {"seed", config.seed}});
  const auto rates = std::make_shared<Rates>();
  const auto save = std::make_shared<SaveCallback>(experiment, store, *console_, board, facts);
  const auto pictures = std::make_shared<PictureCallback>(*folder_, board);
  // Order: measure, evaluate (whose result the others use), save, record, show, draw.
  trainer.add(std::make_shared<RatesCallback>(rates));
  trainer.add(std::make_shared<RecordCallback>(experiment, folder_->file("metrics.jsonl"),
                                               continued_, board, rates));
  evaluation->progress = [this](int64_t done, int64_t total) { console_->evaluating(done, total); };
  trainer.add(evaluation);
  trainer.add(save);
  trainer.add(std::make_shared<DisplayCallback>(experiment, *console_, board, rates, save));
  trainer.add(pictures);
  if (std::ranges::any_of(config.optimizer.transforms,
                          [](const auto& stage) { return stage.name() == "sing"; }))
    trainer.add(std::make_shared<NormGrowthCallback>());
  if (const auto trajectory = trajectory_callback(experiment, *folder_)) trainer.add(trajectory);
  if (options_.profile)
    trainer.add(std::make_shared<ProfileCallback>(options_.profile->start, options_.profile->count,
                                                  folder_->file("trace"), *console_));
  trainer.keep_batch = [&](const char* what) { return keep_batch(trainer, what); };
  trainer.warn = [&](const std::string& code, const std::string& text) {
    console_->warning(code, text);
  };
  trainer.restore_last = [&] {
    const std::optional<LoadedCheckpoint> newest = store.load_newest();
    if (newest) restore_checkpoint(trainer, newest->contents);
    return newest.has_value();
  };
  if (continued_)
    console_->event("resume", {{"step", std::to_string(trainer.counters().step)}},
                    "  resumed  at step " + grouped(trainer.counters().step));

  try {
    report.outcome = trainer.run();
  } catch (const DivergedError&) {
    step_ = trainer.counters().step;
    save->save(trainer, true);  // the last good state
    throw;
  } catch (...) {
    step_ = trainer.counters().step;
    throw;
  }
  step_ = report.step = trainer.counters().step;
  report.last_eval = board->latest.values;
  report.signal = stop_signal();
  if (report.outcome != Outcome::stopped) {
    // A run counts as done when its last checkpoint was read back.
    load_checkpoint(store.path_of(report.step));
    write_summary(*folder_, experiment, trainer, *board, pictures->panel());
    show_summary(*console_, *folder_, experiment, trainer, *board, pictures->panel());
  } else {
    report_stop(report, save->last_path());
  }
}

void Session::report_stop(const SessionReport& report, const std::string& saved) const {
  const std::string why = report.signal ? signal_name(report.signal) : "train.max_time";
  console_->event("stop",
                  {{"signal", why},
                   {"step", std::to_string(report.step)},
                   {"saved", saved},
                   {"exit", "75"},
                   {"resume", "the same command"}},
                  "stopped by " + why + " at step " + grouped(report.step) + ", saved in " + saved +
                      "; the same command continues");
}

void Session::report_failure(const Error& error, int64_t step) const {
  RunStatus status;
  status.state = "failed";
  status.exit_code = static_cast<int>(error.exit_code());
  status.reason = error.what();
  status.config_hash = run_hash(complete_);
  status.step = step;
  status.failed_step = step;
  status.failures =
      status_before_ && status_before_->failed_step == step ? status_before_->failures + 1 : 1;
  try {
    folder_->write_status(status);
  } catch (const Error& second) {
    log_warning(std::string("status.json could not be written: ") + second.what());
  }
}

/// The run has given its memory back: there is room to try what it could have done instead.
OutOfMemoryError Session::with_what_fits(const OutOfMemoryError& error) const {
  if (options_.tiny_batch > 0 || !experiment_->model().initialized()) return error;
  const bool evaluating = error.places().find("evaluation") != std::string::npos;
  try {
    return error.with_hint(evaluating ? what_fits_in_evaluation(*experiment_)
                                      : what_fits(*experiment_));
  } catch (const std::exception&) {
    return error;  // what happened matters more than advice
  }
}

SessionReport Session::run() {
  SessionReport report;
  // What can be refused is refused before anything is written.
  if (loaded_.config.train.threads)
    set_num_threads(static_cast<int>(*loaded_.config.train.threads));
  const Device device = resolve_device(loaded_.config.train.device, &device_notice_);
  if (device.type != DeviceType::cpu)
    backend::runtime(device).allow_any_order(!loaded_.config.train.deterministic);
  experiment_ = std::make_unique<Experiment>(loaded_.config);
  experiment_->place(device);
  choose_folder();
  report.folder = folder_->path();
  compare_with_checkpoint();
  refuse_repeated_failure();
  ConsoleOptions console = options_.console;
  console.log_file = folder_->file("log.txt");
  console_ = std::make_unique<Console>(console);
  console_->event("run",
                  {{"id", folder_->id()}, {"sing", environment_facts().at("sing").as_string()}},
                  "SING " + environment_facts().at("sing").as_string() + " · run " + folder_->id());
  RunStatus status;
  status.state = "running";
  status.config_hash = run_hash(complete_);
  if (status_before_) {
    status.step = status_before_->step;
    status.failed_step = status_before_->failed_step;
    status.failures = status_before_->failures;
  }
  folder_->write_status(status);
  if (!continued_ || !posix_file_system().stat(folder_->file("config.yaml")).ok())
    write_opening_files();
  try {
    train(report);
  } catch (const OutOfMemoryError& error) {
    console_->finish();
    report_failure(error, step_);
    throw with_what_fits(error);
  } catch (const Error& error) {
    console_->finish();
    report_failure(error, step_);
    throw;
  } catch (const std::bad_alloc&) {
    console_->finish();
    const OutOfMemoryError error("out of memory", {},
                                 "use a smaller data.batch_size with train.accumulate", "E0601");
    report_failure(error, step_);
    throw error;
  }
  console_->finish();
  status.step = report.step;
  status.failed_step = -1;
  status.failures = 0;
  if (report.outcome == Outcome::stopped) {
    report.exit_code = ExitCode::stopped;
    status.state = "preempted";
    status.reason = report.signal ? signal_name(report.signal) : "train.max_time";
  } else {
    status.state = "finished";
    status.reason = report.outcome == Outcome::max_steps ? "max_steps" : "all steps done";
  }
  status.exit_code = static_cast<int>(report.exit_code);
  folder_->write_status(status);
  return report;
}

}  // namespace

SessionReport run_session(const LoadedConfig& config, const SessionOptions& options) {
  return Session(config, options).run();
}

}  // namespace sing::train
