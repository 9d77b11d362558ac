#include "apps/smoke.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/train/evaluation.h"
#include "sing/train/experiment.h"
#include "sing/train/load_weights.h"

namespace sing::apps {
namespace {

constexpr int64_t kBatch = 2, kSamples = 4;

/// Removes the folder whatever happens.
class ScratchFolder {
 public:
  ScratchFolder() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base ? base : "/tmp") + "/sing-smoke-" + std::to_string(getpid());
    make_directories(posix_file_system(), path_);
  }
  ~ScratchFolder() { remove_tree(posix_file_system(), path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

int run_smoke(const train::LoadedConfig& config, train::SessionOptions options) {
  const ScratchFolder scratch;
  options.output_root = scratch.path();
  options.resume = "never";
  options.max_steps = 2;
  options.tiny_batch = kBatch;
  options.eval_limit = kSamples;
  options.console.quiet = true;
  const train::SessionReport report = train::run_session(config, options);
  if (report.exit_code != ExitCode::ok) return static_cast<int>(report.exit_code);

  train::Experiment experiment(config.config);
  experiment.place(train::resolve_device(config.config.train.device));
  train::load_weights(experiment, report.folder + "/checkpoints/last");
  train::EvalRequest request;
  request.dataset = experiment.source().open(data::split_from_name(config.config.eval.split));
  request.batch_size = kBatch;
  request.limit = kSamples;
  const train::EvalResult again = train::evaluate(experiment.model(), experiment.measures(),
                                                  experiment.measure_names(), request);
  for (const train::EvalValue& value : again.values) {
    for (const train::EvalValue& before : report.last_eval) {
      // f32 on both sides; in bf16 the reloaded model is evaluated in f32, so values may differ.
      const bool comparable = experiment.precision() == train::Precision::f32;
      if (before.metric == value.metric && comparable && before.value != value.value)
        throw InternalError("smoke: " + value.metric + " is " + std::to_string(value.value) +
                            " after reloading, was " + std::to_string(before.value));
    }
  }
  std::printf("smoke ok: %s, 2 steps, %s, saved and reloaded\n", config.config.name.c_str(),
              train::eval_text(again).c_str());
  return 0;
}

}  // namespace sing::apps
