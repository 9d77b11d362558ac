// Which kernels serve attention.
#include "kernels/cuda/attention.h"

#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

SING_CUDA_KERNEL(kernels::attention_forward, plain_attention_forward)
SING_CUDA_KERNEL(kernels::attention_backward, plain_attention_backward)

}  // namespace
}  // namespace sing::cuda
