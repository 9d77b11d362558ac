#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sing/config/schema.h"
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

/// Elements [begin, end) of tensor `index` in one step, and the numbers that hold there. All
/// pointers are to the first element of the whole tensor, dtype of the table, in storage order.
struct UpdateRange {
  static constexpr size_t kMaxSlots = 4;
  size_t index = 0;
  DType dtype = DType::f32;
  int64_t begin = 0, end = 0;
  void* value = nullptr;
  const void* gradient = nullptr;        ///< g; `affine` makes g' of it
  std::array<void*, kMaxSlots> slots{};  ///< the host's state, in the order of slots()
  Affine affine;
  int64_t step = 1;    ///< steps this tensor has taken, this one included
  double lr = 0;       ///< scheduled rate times the group's factor
  double coupled = 0;  ///< g' += coupled * theta
  double decay = 0;    ///< theta *= 1 - decay, before the update
};

/// State of a host beside the values: so many numbers for each element.
struct SlotSpec {
  std::string name;  ///< "m": names the state in checkpoints
  double initial = 0;
};

/// The optimizer proper: SGD, AdamW, ... An element-wise host is one functor (optim/elementwise.h).
class SING_API HostOptimizer {
 public:
  virtual ~HostOptimizer();
  virtual const HostOptions& common() const = 0;
  virtual std::vector<SlotSpec> slots() const = 0;
  /// Whether `decoupled: null` means true without `sing` in the chain.
  virtual bool decoupled_by_default() const { return false; }
  /// False for hosts that need a whole tensor at once; update() then gets all of it.
  virtual bool elementwise() const { return true; }
  /// One step for the range; called from several threads for disjoint ranges.
  virtual void update(const UpdateRange& range) const = 0;
  /// Before the ranges of a step, in one thread; `steps` by tensor, 0 where it is skipped.
  virtual void begin_step(const ParamTable&, std::span<const int64_t> /*steps*/) {}
  /// State that is not in slots.
  virtual void visit_state(StateVisitor&) {}
};

using HostKind = config::ComponentKind<std::unique_ptr<HostOptimizer>()>;
SING_API HostKind& host_kind();

}  // namespace sing::optim
