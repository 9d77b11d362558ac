#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/core/export.h"
#include "sing/data/loader.h"
#include "sing/nn/loss.h"
#include "sing/nn/model.h"
#include "sing/optim/optimizer.h"
#include "sing/tensor/state_visitor.h"
#include "sing/train/averaged_weights.h"
#include "sing/train/config.h"
#include "sing/train/events.h"

namespace sing::train {

/// Where a run stands. Together with the model and the optimizer this is all mutable state there
/// is: seeking in the data, masks and orders follow from these integers.
struct Counters {
  int64_t step = 0;      ///< updates made (left-out ones count)
  int64_t epoch = 0;     ///< passes over the data finished
  int64_t position = 0;  ///< samples of this epoch used
  int64_t micro = 0;     ///< micro-batches in the open window; 0: between updates
  int64_t samples = 0;   ///< samples used in all
  int64_t skipped = 0, rollbacks = 0, spikes = 0;
  int64_t last_eval = -1;  ///< step of the last evaluation
  double window_loss = 0;  ///< weighted sum of the open window
  double loss = 0;         ///< of the last update
  double seconds = 0;      ///< wall time of training so far, over all starts
  void visit_state(StateVisitor& visitor);
};

struct TrainerOptions {
  uint64_t seed = 1;
  int64_t accumulate = 1;
  int64_t total_steps = 0;              ///< 0: the length is wall-clock time
  std::optional<double> total_seconds;  ///< of training
  std::optional<int64_t> max_steps;     ///< ends there without shortening the schedule
  std::optional<double> max_time;       ///< seconds of this start; then stopped
  NonfinitePolicy on_nonfinite = NonfinitePolicy::stop;
  SpikeOptions spike;
  Precision precision = Precision::f32;
  Device device;      ///< of the model; the loader's options name it too
  bool graph = true;  ///< on a GPU: replay whole steps
};

enum class Outcome : uint8_t {
  finished,   ///< all steps done
  max_steps,  ///< TrainerOptions::max_steps reached before the end
  stopped,    ///< by a signal or the time limit; the same command continues
};

class Feed;

/// A stretch of one epoch that is used without an update (after a roll-back).
struct SkippedWindow {
  int64_t epoch = 0, position = 0;
};

/// Runs the steps: micro-batches into windows, windows into updates, and tells the callbacks. Knows
/// nothing of files or terminals. One thread; it must be the one that calls run().
class SING_API Trainer {
 public:
  /// The model is initialised and the optimizer made for it; all of them outlive the trainer.
  Trainer(TrainerOptions options, nn::Model& model, const nn::Loss& loss, data::Loader& loader,
          optim::Optimizer& optimizer);
  ~Trainer();

  void add(std::shared_ptr<Callback> callback);
  /// Tells every callback; also used by callbacks that have events of their own (evaluation,
  /// saving).
  void notify(Event event);

  /// From where the counters stand to the end, a stop request or max_steps. Throws DivergedError
  /// (E0501 and following) with weights, counters and buffers as after the last good update.
  Outcome run();

  const TrainerOptions& options() const { return options_; }
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }
  nn::Model& model() { return model_; }
  optim::Optimizer& optimizer() { return optimizer_; }
  data::Loader& loader() { return loader_; }
  const Batch& batch() const { return batch_; }  ///< of the last micro-step
  int64_t steps_per_epoch() const;
  /// Epochs done, with the fraction of the present one.
  double epoch() const;
  /// Whether the numbers are those of the last step. On a GPU steps are queued, and accounted for
  /// every few steps or when a callback wants numbers.
  bool settled() const;
  /// Kernels and copies of the graph that steps are replayed from; 0: there is none.
  int64_t graph_nodes() const;
  /// Set while callbacks run on run_end.
  std::optional<Outcome> outcome() const { return outcome_; }
  bool failed() const { return failed_; }
  double learning_rate() const;
  /// Batch-norm statistics for the averaged weights; part of the state where they are wanted.
  AveragedStatistics& averaged_statistics() { return averaged_statistics_; }
  /// Seconds spent waiting for data since the last call.
  double take_data_wait();
  /// Norm of all gradients before any transform, of the last update; and the median of the last
  /// 100.
  double raw_norm() const { return raw_norm_; }
  double median_raw_norm() const;

  /// Reads the newest state back: used for roll-backs. Set by whoever keeps checkpoints; returns
  /// false when there is none.
  std::function<bool()> restore_last;
  /// Keeps a batch for inspection and returns where; `what` is "nan" or "spike".
  std::function<std::string(const char* what)> keep_batch;
  /// Says something the user should see.
  std::function<void(const std::string& code, const std::string& text)> warn;

  /// Shows everything that changes during training except the model (model().visit_state shows
  /// that): counters, optimizer, and partial gradients when a window is open. Visitors that write
  /// must be followed by restored().
  void visit_state(StateVisitor& visitor);
  /// After the state was read from a checkpoint: working copies, loader position.
  void restored();

 private:
  struct Recent;  // losses and norms of the last 100 updates
  bool ended() const;
  bool stop_wanted() const;
  void prepare_graph();
  bool micro_step();
  void update();
  void finish_epoch();
  // On a device that the host does not wait for (deferred.cpp).
  struct Window;
  struct Deferred;
  void open_deferred_window();
  void queue_micro_step();
  void queue_pass(double weight, int64_t number);
  void queue_update();
  bool replay(bool last, double weight, int64_t number);
  void close_deferred_window();
  bool settle_if_wanted();
  /// Waits for what is queued. False when some of it was bad and the run goes on from before it.
  bool settle();
  void account(const Window& window, double loss);
  void handle_nonfinite(const std::string& what);
  bool is_spike(double loss) const;
  std::string spike_text(double loss) const;
  /// True when the update is not to be made.
  bool handle_spike();
  bool skip_window(const char* code, const std::string& text);
  bool roll_back(const char* code, const std::string& text);
  void leave_window_out();
  void reset_window();
  void move_loader(const data::LoaderState& state);
  std::string first_bad_value() const;
  int64_t window_samples() const;
  bool is_skipped() const;

  TrainerOptions options_;
  nn::Model& model_;
  const nn::Loss& loss_;
  data::Loader& loader_;
  std::unique_ptr<Feed> feed_;
  std::unique_ptr<Deferred> deferred_;  // nullptr: each step is waited for
  optim::Optimizer& optimizer_;
  std::vector<std::shared_ptr<Callback>> callbacks_;
  Counters counters_;
  Counters window_start_;
  std::vector<Tensor> buffers_before_;  // of the model, at the start of the window
  std::vector<SkippedWindow> skipped_windows_;
  std::unique_ptr<Recent> recent_;
  bool keeps_statistics_;
  AveragedStatistics averaged_statistics_;
  Batch batch_;
  std::optional<Outcome> outcome_;
  bool failed_ = false;
  double raw_norm_ = 0, data_wait_ = 0, started_ = 0, seconds_before_ = 0;
};

}  // namespace sing::train
