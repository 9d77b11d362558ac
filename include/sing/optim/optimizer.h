#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sing/config/schema.h"
#include "sing/optim/host.h"
#include "sing/optim/param_table.h"
#include "sing/optim/post_step.h"
#include "sing/optim/schedule.h"
#include "sing/optim/transform.h"

namespace sing::optim {

/// The `optimizer:` block of a config.
struct SING_API OptimizerConfig {
  std::vector<config::Component<transform_kind>> transforms;
  config::Component<host_kind> host{"adamw"};
  std::optional<LookAheadOptions> lookahead;
  std::optional<EmaOptions> ema;
  std::optional<SwaOptions> swa;
  config::Component<schedule_kind> schedule{"constant"};
  std::vector<GroupRule> groups;
  bool fused = true;

  static void describe(config::Fields<OptimizerConfig>& f);
};

/// What deserves a word although it is allowed: "W0221: ...". `pretrained`: the run starts from
/// given weights (then low rates are usual).
SING_API std::vector<std::string> warnings(const OptimizerConfig& config, bool pretrained = false);

/// Whether evaluation will want other weights than training: averages, or those of a host.
SING_API bool keeps_averages(const OptimizerConfig& config);

struct StepContext {
  int64_t step = 0;      ///< updates already made, 0 for the first
  double lr_factor = 1;  ///< on the scheduled rate
  /// On a device: the same tensors have gradients as in the step before (a replayed graph leaves no
  /// trace of what it writes).
  bool same_gradients = false;
};

enum class StepStatus : uint8_t {
  applied,
  nonfinite,  ///< a gradient holds NaN or Inf: nothing was changed
};

/// Of the gradients as they came, before any stage.
struct GradientStatistics {
  double global_norm = 0;     ///< over all present tensors; NaN or Inf with found_nonfinite
  std::vector<double> norms;  ///< by table index; 0 where there was no gradient
  bool found_nonfinite = false;
  int first_nonfinite = -1;  ///< table index
  int64_t tensors = 0;       ///< present ones
};

class TransformChain;

/// transforms -> host -> post-steps over one table, in two passes: one measures all gradients, one
/// updates all values. Results do not depend on the number of threads, and a step takes no memory.
class SING_API Optimizer {
 public:
  /// Throws ConfigErrors for settings that do not fit together and what ParamTable throws.
  Optimizer(const OptimizerConfig& config, std::span<nn::Parameter* const> parameters,
            const RunLength& run = {});
  ~Optimizer();

  /// One update from the gradients in the table, which are not altered. Tensors without gradient
  /// are skipped and do not count a step.
  StepStatus step(const StepContext& context);
  void zero_grad() { table_.zero_grad(); }

  /// A step in three parts, so that the host need not wait for a device: prepare_step counts the
  /// step and queues the copy of its numbers; launch_step queues its kernels, or is captured into a
  /// graph that is replayed behind each prepare_step as long as launch_signature() stays what it
  /// was; finish_step waits for all of them and tells whether every one was applied. A step with a
  /// gradient that is not finite changes nothing, nor do the steps queued behind it, up to
  /// finish_step, which takes them back (left_out() of them). On the CPU launch_step makes the
  /// step.
  void prepare_step(const StepContext& context);
  void launch_step();
  StepStatus finish_step();
  /// Steps that the last finish_step took back.
  int64_t left_out() const { return left_out_; }
  uint64_t launch_signature() const;

  ParamTable& table() { return table_; }
  const ParamTable& table() const { return table_; }
  /// Of the last call to step or finish_step.
  const GradientStatistics& statistics() const { return statistics_; }
  /// The scheduled rate of the update after `step` others, before group factors.
  double learning_rate(int64_t step) const;
  /// Steps tensor i has taken.
  int64_t steps(size_t i) const { return steps_[i]; }
  /// Whether evaluation wants other weights than training: averages, or those of the host.
  bool has_averages() const;
  /// Whether there are such weights by now: SWA has none before its start.
  bool averages_ready() const;
  /// Whether batch-norm statistics gathered in training are too far from the averages and have to
  /// be made anew: with SWA and Schedule-Free. Those of EMA follow closely.
  bool averages_want_statistics() const;
  /// Puts the weights for evaluation in place, or the trained ones back, bit for bit.
  void use_averages(bool on);
  /// Everything that changes from step to step, values and gradients excepted. Names:
  /// "optimizer/<parameter>/<slot>".
  void visit_state(StateVisitor& visitor);

 private:
  struct Piece {
    size_t tensor;
    int64_t begin, end;
    std::array<double, UpdateRange::kMaxSums> sums;
  };
  /// Where a tensor is in the step being made.
  struct Place {
    void* value = nullptr;
    void* working = nullptr;  // bf16 copy; nullptr where layers read the value itself
    int64_t range = -1;       // among the ranges of its host; -1: no gradient
  };
  struct HostUse;
  struct OnDevice;
  size_t add_host(const config::Component<host_kind>& component, bool sing);
  std::unique_ptr<HostOptimizer> make_host(const config::Component<host_kind>& component) const;
  void assign_hosts(bool sing);
  void start_device();
  void count_steps();
  StepStatus run_on_cpu(const StepContext& context);
  void settle();
  void make_slots(HostUse& use);
  void fill_ranges(const StepContext& context);
  void run_host(HostUse& use);
  void end_sums(HostUse& use, int pass);
  void refresh_working(const Place& place, int64_t begin, int64_t end) const;
  void refresh_other_copies();
  void use_host_weights(bool on);

  OptimizerConfig config_;
  ParamTable table_;
  std::unique_ptr<Schedule> schedule_;
  std::vector<std::unique_ptr<GradientTransform>> stages_;
  std::unique_ptr<TransformChain> chain_;        // on the CPU
  std::unique_ptr<OnDevice> device_;             // elsewhere
  std::vector<std::unique_ptr<HostUse>> hosts_;  // [0]: optimizer.host
  std::vector<std::unique_ptr<PostStep>> post_steps_;
  PostStep* averages_ = nullptr;
  bool averages_in_use_ = false;
  ParamTable::Buffer trained_;         // what evaluation weights of a host stand in for
  std::vector<int64_t> steps_;         // taken by each tensor
  std::vector<int64_t> coming_steps_;  // number of the step being made; 0: skipped
  GradientStatistics statistics_;
  StepContext context_;  // of a step prepared for the CPU
  StepStatus status_ = StepStatus::applied;
  int64_t left_out_ = 0;
  std::vector<Place> places_;
};

}  // namespace sing::optim
