#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/config/diff.h"
#include "sing/core/export.h"
#include "sing/train/console.h"
#include "sing/train/evaluation.h"
#include "sing/train/experiment.h"
#include "sing/train/run_lock.h"
#include "sing/train/trainer.h"

namespace sing::train {

/// How to run an experiment; the config says what it is.
struct SessionOptions {
  std::string output_root = "runs";
  std::string name;                       ///< of the run; empty: the config's
  std::string resume = "auto";            ///< auto | never | RUN | RUN@STEP | CKPT
  std::vector<std::string> allow_change;  ///< config keys that may differ from the checkpoint's
  LockMode lock = LockMode::flock;
  ConsoleOptions console;
  std::optional<int64_t> max_steps;
  int64_t overfit = 0;     ///< train on this many samples only
  int64_t tiny_batch = 0;  ///< micro-batches of this size instead of data.batch_size
  struct Steps {
    int64_t start = 0, count = 0;
  };
  std::optional<Steps> profile;  ///< count updates behind start others, into <run>/trace
  int64_t eval_limit = 0;        ///< samples of an evaluation; 0: all
  std::string command;           ///< what was typed, for command.txt
  std::string config_source;     ///< for the banner: "configs/a.yaml + 1 override (seed=2)"
};

struct SessionReport {
  Outcome outcome = Outcome::finished;
  int signal = 0;
  std::string folder;
  int64_t step = 0;
  ExitCode exit_code = ExitCode::ok;
  std::vector<EvalValue> last_eval;  ///< of the last evaluation, if there was one
};

/// Trains: a run folder is made or continued, and everything in it written. Signals must be handled
/// by the caller (StopSignals). Throws what goes wrong; the run folder's status says the same.
SING_API SessionReport run_session(const LoadedConfig& config, const SessionOptions& options);

/// Keys in which two resolved configs differ and that a continued run may not change.
SING_API std::vector<config::Difference> config_changes(const config::Value& checkpoint,
                                                        const config::Value& config);
/// Hash of what makes two configs the same run: keys that may change freely are left out.
SING_API std::string run_hash(const config::Value& complete);

/// RUN, RUN@STEP or CKPT -> the checkpoint folder it means, and the run it belongs to (empty when
/// it lies elsewhere). Throws CheckpointError E0402.
struct CheckpointPlace {
  std::string run;
  std::string folder;
};
SING_API CheckpointPlace find_checkpoint(const std::string& text);

/// The run that RUN, RUN@STEP or CKPT belongs to, without looking at checkpoints; empty for a
/// checkpoint outside of any.
SING_API std::string find_run(const std::string& text);

/// The resolved config stored with a run.
SING_API LoadedConfig load_run_config(const std::string& run,
                                      const std::vector<std::string>& overrides = {});

}  // namespace sing::train
