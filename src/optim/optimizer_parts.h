#pragma once
// The inside of an Optimizer, for the files that implement it.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "optim/device.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// A host, its tensors and its state.
struct Optimizer::HostUse {
  std::unique_ptr<HostOptimizer> host;
  bool decoupled = false;
  std::vector<size_t> tensors;
  std::vector<double> weight_decay;  // by tensor of this host, filters applied
  std::vector<SlotSpec> specs;
  std::vector<std::vector<Tensor>> slots;  // by slot, by tensor of this host; undefined: none
  std::vector<Piece> pieces;
  std::vector<UpdateRange> ranges;  // of the tensors with a gradient, filled anew for each step
  using Sums = std::array<double, UpdateRange::kMaxSums>;
  std::vector<Sums> totals,
      results;  // by tensor of this host, on the CPU; totals: one more, of all
};

/// Steps of tensors on a device, several of which may be under way.
struct Optimizer::OnDevice {
  /// What a step that was left out must not have changed on the host.
  struct Undo {
    std::vector<int64_t> steps;
    std::vector<double> scalars;
  };
  static constexpr size_t kPending = 16;

  std::unique_ptr<DeviceStep> step;
  std::vector<uint8_t> present;
  std::vector<double*> scalars;  // states of hosts, one per tensor: they stay with the host
  std::array<Undo, kPending> undo;
  size_t pending = 0;
  StepStatus status = StepStatus::applied;  // of all steps since the last finish_step
};

}  // namespace sing::optim
