#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"
#include "sing/core/random.h"

namespace sing::kernels {

/// y[i] = x[i] * scale where random_bits(key, i) >= threshold, else 0; i counts elements in
/// row-major order. threshold is 0..2^32. The product is rounded once to the dtype, with scale
/// first rounded to f32 (f64 for f64). Forward and backward are the same map, so no mask is kept.
struct DropoutArgs {
  const void* x;  ///< [n], dense
  void* y;        ///< may be x
  DType dtype;
  int64_t n;
  RandomKey key;  ///< whole: a captured step is replayed under other epochs
  uint64_t threshold;
  double scale;
  Stream stream;
};

SING_DECLARE_SLOT(dropout_map, DropoutArgs)

}  // namespace sing::kernels
