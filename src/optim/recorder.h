#pragma once
// How a host says what it does to tensors of a device: its update is taken down (kernel, numbers)
// instead of being run, for all tensors of a pass; then one launch serves them all.
#include <cstddef>

#include "sing/optim/host.h"

namespace sing::cuda {
struct UpdateLaunch;
struct UpdateRecord;
struct StepReport;
}  // namespace sing::cuda

namespace sing::optim {

/// Starts the kernel of one kind of functor over the tensors that recorded it.
using UpdateKernel = void (*)(const cuda::UpdateLaunch&);

class SING_API UpdateRecorder {
 public:
  virtual ~UpdateRecorder();
  /// `functor`: the numbers of this tensor in this pass, copied.
  virtual void record(UpdateKernel kernel, const void* functor, size_t bytes,
                      const UpdateRange& range) = 0;
};

/// A pass of a host as its own kernels see it: in device memory, by tensor in the order of
/// attach().
struct DevicePass {
  const cuda::UpdateRecord* records;  ///< of tensors without a gradient the rule is negative
  const double* results;              ///< UpdateRange::kMaxSums of each
  const cuda::StepReport* report;     ///< whether the step is left out
};

}  // namespace sing::optim
