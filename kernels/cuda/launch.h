#pragma once
// How kernels are started. The same files are compiled by nvcc for the device and by the host
// compiler against tests/cuda/emulator, hence no <<< >>>: launch() is an ordinary function. Start a
// kernel template in the file that instantiates it.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/backend.h"
#include "sing/core/device.h"

namespace sing::cuda {

#if defined(SING_CUDA_EMULATED)
#define SING_DYNAMIC_SHARED(T, NAME) \
  T* const NAME = static_cast<T*>(::sing::emulator::dynamic_shared())
#else
/// The dynamic shared memory of a block as an array of T, aligned to 16 bytes.
#define SING_DYNAMIC_SHARED(T, NAME)                                   \
  extern __shared__ __align__(16) unsigned char sing_dynamic_shared[]; \
  T* const NAME = reinterpret_cast<T*>(sing_dynamic_shared)
#endif

inline constexpr int kWarp = 32;

/// Blocks and threads of a launch, and bytes of dynamic shared memory.
struct Grid {
  dim3 blocks, threads;
  size_t shared = 0;
};

/// Threads of a block where nothing speaks for another number. Every kernel says by
/// __launch_bounds__ how many its launches have: the compiler then sees to it that the registers of
/// a multiprocessor suffice, and the emulator that no launch has more.
inline constexpr int kBlockThreads = 256;

/// One thread per item, or a grid-stride loop where that would be more than `most` blocks.
inline Grid grid_for(int64_t items, int threads = kBlockThreads, int64_t most = 1 << 20) {
  const int64_t blocks = std::clamp<int64_t>((items + threads - 1) / threads, 1, most);
  return {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), 0};
}

/// Starts `kernel` on `stream` (the null stream stands for the backend's compute stream). Throws
/// BackendError that names the op and its operands when the launch is refused.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Grid& grid, Stream stream,
            const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  const void* const address = reinterpret_cast<const void*>(kernel);
  launching(stream);
#if defined(SING_CUDA_EMULATED)
  const cudaError_t status = emulator::launch(
      address, grid.blocks, grid.threads, grid.shared, native(stream),
      [kernel, ... values = static_cast<std::remove_cvref_t<Parameters>>(arguments)] {
        kernel(values...);
      });
#else
  const cudaError_t status = [&](std::remove_cvref_t<Parameters>... values) {
    void* pointers[] = {static_cast<void*>(&values)..., nullptr};
    return cudaLaunchKernel(address, grid.blocks, grid.threads, pointers, grid.shared,
                            native(stream));
  }(static_cast<std::remove_cvref_t<Parameters>>(arguments)...);
#endif
  launched(stream, address, status);
}

}  // namespace sing::cuda
