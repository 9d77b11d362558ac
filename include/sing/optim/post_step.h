#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sing/config/schema.h"
#include "sing/optim/param_table.h"
#include "sing/optim/schedule.h"

namespace sing::optim {

/// Elements [begin, end) of tensor `index`; `value` points to its first element, dtype of the
/// table, in storage order.
struct PostRange {
  size_t index = 0;
  DType dtype = DType::f32;
  void* value = nullptr;
  int64_t begin = 0, end = 0;
};

/// What happens to the values after the host: LookAhead, averages. Works on the same pieces of
/// tensors right behind the host, while they are in cache.
class SING_API PostStep {
 public:
  virtual ~PostStep();
  /// Before the values change, in one thread.
  virtual void begin_step() = 0;
  /// New values are in place; several threads, disjoint ranges. Called for every tensor of the
  /// table, with or without a gradient.
  virtual void apply(const PostRange& range) = 0;
  /// After all values changed, in one thread.
  virtual void end_step() = 0;
  /// Whether an average was made by now.
  virtual bool has_averages() const { return false; }
  /// Exchanges values and averages; called in pairs.
  virtual void swap_averages() {}
  virtual void visit_state(StateVisitor& visitor) = 0;

  /// For tensors on a device, where apply() is not called: what happens in the step begun, with
  /// which weight, and the tensor it keeps beside each value.
  enum class Kind : uint8_t {
    synchronise,  ///< state += weight (theta - state), theta = state
    average,      ///< state = (1 - weight) state + weight theta
  };
  struct Rule {
    Kind kind;
    std::optional<double> weight;  ///< nothing: not in this step
  };
  virtual Rule rule() const = 0;
  virtual Tensor& state(size_t index) = 0;
  /// Takes back the last end_step(): its step was left out on the device.
  virtual void undo_step() = 0;
};

/// theta <- slow + alpha (theta - slow), slow <- theta, every `every` steps; slow starts as theta
/// before the first step. Zhang et al. 2019; defaults of SING.
struct SING_API LookAheadOptions {
  int64_t every = 5;
  double alpha = 0.5;
  static void describe(config::Fields<LookAheadOptions>& f);
};
SING_API std::unique_ptr<PostStep> make_lookahead(const LookAheadOptions& options,
                                                  const ParamTable& table);

/// average <- d average + (1 - d) theta in f32 (f64 for f64); the first step copies. With `warmup`
/// d of step s = 0, 1, ... is min(decay, 1 - (1 + s)^(-2/3)), 0 in the first.
struct SING_API EmaOptions {
  double decay = 0.9999;
  bool warmup = false;
  static void describe(config::Fields<EmaOptions>& f);
};
SING_API std::unique_ptr<PostStep> make_ema(const EmaOptions& options, const ParamTable& table);

/// average <- average + (theta - average) / (n + 1) in f32 (f64 for f64), n: averages made, the
/// first copies; after the update number `start` and then every `every` updates. Izmailov et al.
/// 2018, as in torch.optim.swa_utils.
struct SING_API SwaOptions {
  config::Duration start = config::Duration::fraction(0.75);
  config::Duration every = config::Duration::epochs(1);
  static void describe(config::Fields<SwaOptions>& f);
};
SING_API std::unique_ptr<PostStep> make_swa(const SwaOptions& options, const ParamTable& table,
                                            const RunLength& run);

}  // namespace sing::optim
