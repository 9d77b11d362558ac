#pragma once
// Sums over a warp and a block, in an order fixed by the number of threads. Every thread of the
// warp or block must call them.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {

struct Sum {
  template <class V>
  SING_DEVICE V operator()(V a, V b) const {
    return a + b;
  }
};
/// NaN wins.
struct Maximum {
  template <class V>
  SING_DEVICE V operator()(V a, V b) const {
    return a > b || a != a ? a : b;
  }
};

/// The combination over the 32 lanes, in every lane.
template <class V, class Combine = Sum>
SING_DEVICE V warp_reduce(V value, Combine combine = {}) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

/// The combination over a block of whole warps, in every thread. `identity` changes nothing.
template <class V, class Combine = Sum>
SING_DEVICE V block_reduce(V value, V identity, Combine combine = {}) {
  __shared__ V partial[kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_reduce(value, combine);
  __syncthreads();  // a call before this one may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_reduce(lane < warps ? partial[lane] : identity, combine);
  return value;
}

}  // namespace sing::cuda
