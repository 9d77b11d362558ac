// Many small copies in one launch: a block for each.
#include "kernels/copies.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

constexpr int kThreads = 128;
using Words = Pack<uint32_t, 4>;

__global__ void __launch_bounds__(kThreads) copy_many_kernel(const kernels::CopyItem* items) {
  const kernels::CopyItem item = items[blockIdx.x];
  const bool packs = reinterpret_cast<uintptr_t>(item.to) % sizeof(Words) == 0 &&
                     reinterpret_cast<uintptr_t>(item.from) % sizeof(Words) == 0;
  const int64_t whole = packs ? item.bytes / static_cast<int64_t>(sizeof(Words)) : 0;
  for (int64_t i = threadIdx.x; i < whole; i += kThreads)
    static_cast<Words*>(item.to)[i] = static_cast<const Words*>(item.from)[i];
  const int64_t copied = whole * static_cast<int64_t>(sizeof(Words));
  for (int64_t i = copied + threadIdx.x; i < item.bytes; i += kThreads)
    static_cast<uint8_t*>(item.to)[i] = static_cast<const uint8_t*>(item.from)[i];
}

void copy_many(const kernels::CopyManyArgs& a) {
  if (a.count == 0) return;
  launch(copy_many_kernel, {dim3(static_cast<unsigned>(a.count)), dim3(kThreads), 0}, a.stream,
         a.items);
}

SING_CUDA_KERNEL(kernels::data_copy_many, copy_many)

}  // namespace
}  // namespace sing::cuda
