#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sing/config/schema.h"
#include "sing/optim/kinds.h"
#include "sing/optim/param_table.h"
#include "sing/optim/transform.h"

namespace sing::optim {

/// Keys every host has.
struct SING_API HostOptions {
  double lr = 1e-3;
  double weight_decay = 0;
  /// true: theta *= 1 - lr * weight_decay before the update; false: weight_decay * theta is added
  /// to g'. Not set: true with `sing` in the chain, else what is usual for the host.
  std::optional<bool> decoupled;
  /// Not set: matrices with `sing` in the chain, else all.
  std::optional<DecayFilter> decay;

  static void describe(config::Fields<HostOptions>& f);
};

/// Of hosts that divide by nothing that could be softened: the key is known, to be refused with a
/// reason.
struct SING_API HardHostOptions : HostOptions {
  std::optional<double> softplus_beta;

  static void describe(config::Fields<HardHostOptions>& f);
};

class UpdateRecorder;
struct DevicePass;

/// Elements [begin, end) of tensor `index` in one step, and the numbers that hold there. All
/// pointers are to the first element of the whole tensor, in storage order.
struct UpdateRange {
  static constexpr size_t kMaxSlots = 4;
  static constexpr size_t kMaxSums = 4;
  size_t index = 0;
  const TensorMeta* meta = nullptr;
  DType dtype = DType::f32;  ///< of value, gradient and the slots that hold a number per element
  int64_t begin = 0, end = 0;
  void* value = nullptr;
  const void* gradient = nullptr;        ///< g; `affine` makes g' of it
  std::array<void*, kMaxSlots> slots{};  ///< the host's state, in the order of slots()
  Affine affine;
  int64_t step = 1;         ///< steps this tensor has taken, this one included
  double lr = 0;            ///< scheduled rate times the group's factor
  double base_lr = 0;       ///< the rate of the config times the group's factor
  double weight_decay = 0;  ///< by the group, filters applied; for hosts with a form of their own
  double coupled = 0;       ///< g' += coupled * theta
  double decay = 0;         ///< theta *= 1 - decay, before the update
  /// First-moment decay (momentum, beta1) where a schedule moves it, else nothing.
  std::optional<double> momentum;
  int pass = 0;
  double* sums = nullptr;  ///< what this range adds to the sums of its pass, kMaxSums of them
  /// Set when all of a pass is summed: the sums of the tensor, and those of all tensors of the
  /// host. What is made of them is all that is to be done then.
  const double* totals = nullptr;
  const double* all_totals = nullptr;
  std::array<double, kMaxSums> numbers{};  ///< of the tensor: what begin_step left here
  /// Of the tensor, kMaxSums: what was made of the sums of the passes before. Not to be read by a
  /// host, which may run ahead of them: functors take them.
  double* results = nullptr;
  /// Where the elements lie on a device: what takes the update down. The range is then whole.
  UpdateRecorder* recorder = nullptr;
};

/// State of a host beside the values: so many numbers for each element.
struct SlotSpec {
  std::string name;  ///< "m": names the state in checkpoints
  double initial = 0;
  /// For state that is not one number per element: its shape, or nothing where this tensor has
  /// none (the slot is then nullptr). It is dense, of the table's dtype, or f64 with `wide`.
  std::function<std::optional<Shape>(const TensorMeta&)> shape;
  bool wide = false;
  /// Of one number per tensor: it lies where the tensor does, for what is made of sums, and not
  /// with the host, for begin_step.
  bool beside_tensor = false;
};

/// One f64 per tensor, for begin_step.
inline SlotSpec tensor_scalar(std::string name, double initial = 0) {
  return {std::move(name), initial, [](const TensorMeta&) { return std::optional(Shape{}); }, true};
}
/// The same for what is made of sums.
inline SlotSpec tensor_sum(std::string name) {
  SlotSpec spec = tensor_scalar(std::move(name));
  spec.beside_tensor = true;
  return spec;
}

struct OptimizerConfig;

/// The optimizer proper: SGD, AdamW, ... An element-wise host is one functor (optim/elementwise.h).
/// A step of a host is one or more passes over the elements of its tensors. A pass that is not the
/// last may sum over whole tensors, in a fixed order; what is made of the sums is a functor too,
/// and functors of later passes take its results. So a device makes a whole step by itself.
class SING_API HostOptimizer {
 public:
  virtual ~HostOptimizer();
  virtual const HostOptions& common() const = 0;
  virtual std::vector<SlotSpec> slots() const = 0;
  /// What `decoupled: null` means; `sing`: whether that stage is in the chain.
  virtual bool decoupled_by_default(bool sing) const { return sing; }
  /// True for hosts that apply UpdateRange::weight_decay themselves where it is not coupled;
  /// `decay` is then 0.
  virtual bool decays_itself() const { return false; }
  /// False for hosts that need a whole tensor at once; update() then gets all of it, in the calling
  /// thread, and may use the pool.
  virtual bool elementwise() const { return true; }
  virtual int passes() const { return 1; }
  /// Once, before the first step: all tensors of this host. For scratch memory.
  virtual void attach(std::span<const TensorMeta* const> /*tensors*/) {}
  /// Before the passes of a step, in one thread: all tensors of this host that have a gradient. May
  /// change the numbers of the ranges and the state of whole tensors.
  virtual void begin_step(std::span<UpdateRange> /*tensors*/) {}
  /// One pass of one step over the range; called from several threads for disjoint ranges. Behind a
  /// pass with sums once more for each tensor, with its totals.
  virtual void update(const UpdateRange& range) const = 0;
  /// On a device: queues what the host does to whole tensors between pass `pass` and the next one.
  /// It must be the same in each step: what changes lies in the records of the pass.
  virtual void between(int /*pass*/, const DevicePass& /*at*/) const {}

  /// Tensors this host does not take go to `auxiliary`.
  virtual bool takes(const TensorMeta&) const { return true; }
  virtual const config::Component<host_kind>* auxiliary() const { return nullptr; }
  /// Whether UpdateRange::momentum is heeded.
  virtual bool has_momentum() const { return false; }
  /// True when evaluation wants other weights than training: `evaluation_weights` makes them in
  /// place of the trained ones, which are put back later.
  virtual bool has_evaluation_weights() const { return false; }
  virtual void evaluation_weights(const UpdateRange& /*tensor*/) const {}
  /// Refuses settings around the host that do not fit it.
  virtual void check(const OptimizerConfig&, config::Checker&) const {}
  /// Adds what deserves a word although it is allowed: "W0221: ...".
  virtual void warn(const OptimizerConfig&, std::vector<std::string>&) const {}
};

}  // namespace sing::optim
