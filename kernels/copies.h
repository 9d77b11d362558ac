#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"

namespace sing::kernels {

/// `bytes` bytes from `from` to `to`, which do not overlap.
struct CopyItem {
  void* to;
  const void* from;
  int64_t bytes;
};
/// Copies many small tensors of one device at once.
struct CopyManyArgs {
  const CopyItem* items;  ///< [count], in the memory of the device
  int64_t count;
  Stream stream;
};

SING_DECLARE_SLOT(data_copy_many, CopyManyArgs)

}  // namespace sing::kernels
