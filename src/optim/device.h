#pragma once
// What a device's backend offers the optimizer: its hosts, and the two passes of a step over one
// table in device memory. The part that needs CUDA is in optim/device.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "optim/chain.h"
#include "optim/recorder.h"
#include "sing/backend/kernel_slot.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// Makes the host `name` of a backend; `host` stays empty where it has none of that name.
struct DeviceHostArgs {
  const std::string& name;
  const config::Value& options;
  std::unique_ptr<HostOptimizer>& host;
};
SING_DECLARE_SLOT(optim_host, DeviceHostArgs)

/// What does not change from step to step.
struct DevicePlan {
  const ParamTable& table;
  std::vector<StagePlan> passes;  ///< of the chain; the last one feeds the hosts
  struct Use {
    std::vector<size_t> tensors;  ///< indexes of the table
    int passes;
  };
  std::vector<Use> uses;  ///< by host
  std::vector<PostStep*> post_steps;
};

/// A step over one table. The host fills the numbers of a step into pinned memory (begin, record,
/// upload) and then starts kernels whose number and arguments do not change from step to step while
/// signature() stays, so that they can be captured. Everything is queued on the compute stream.
class SING_API DeviceStep {
 public:
  virtual ~DeviceStep();

  /// Waits for a free buffer and starts a new step; `present` by index of the table.
  virtual void begin(std::span<const uint8_t> present) = 0;
  /// Takes down what pass `pass` of host `use` does to its tensors.
  virtual UpdateRecorder& recorder(size_t use, int pass) = 0;
  /// Queues the copy of what begin() and the recorders took down.
  virtual void upload() = 0;
  /// What launches are made of: equal while they are the same.
  virtual uint64_t signature() const = 0;
  /// First element of what the host reads of tensor i.
  virtual const void* source(size_t i) const = 0;

  virtual void launch_chain() = 0;
  virtual void launch_pass(size_t use, int pass) = 0;
  /// That pass for kernels of the host.
  virtual DevicePass pass(size_t use, int pass) const = 0;

  /// Waits for all steps queued so far: statistics of the last one that was measured, and how many
  /// of them were applied since the last call. A step with a gradient that is not finite changes
  /// nothing, nor does any behind it; from this call on steps are made again.
  virtual int64_t finish(GradientStatistics& statistics) = 0;

  /// Runs what was recorded for pass 0 of `use` by itself: weights for evaluation.
  virtual void run_alone(size_t use) = 0;
  /// Copies the numbers of a stage from or to the device.
  virtual void read_numbers() = 0;
  virtual void write_numbers() = 0;
};

struct DeviceStepArgs {
  const DevicePlan& plan;
  std::unique_ptr<DeviceStep>& step;
};
SING_DECLARE_SLOT(optim_step, DeviceStepArgs)

}  // namespace sing::optim
