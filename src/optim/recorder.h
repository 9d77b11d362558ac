#pragma once
// How a host says what it does to tensors of a device: its update is taken down (kernel, numbers)
// instead of being run, for all tensors of a pass; then one launch serves them all.
#include <cstddef>

#include "sing/optim/host.h"

namespace sing::cuda {
struct UpdateLaunch;
}

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

}  // namespace sing::optim
