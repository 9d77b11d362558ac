// Attention: which kernels serve it. SING_CUDA_ATTENTION=own|cudnn|auto chooses; own is the default
// until a device has shown cuDNN's numbers to be right.
#include "kernels/attention.h"

#include "backend/cuda/switches.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/backend.h"
#if !defined(SING_CUDA_EMULATED)
#include "backend/cuda/cudnn/attention.h"
#endif

namespace sing::cuda {
namespace {

Provider choice() {
  static const Provider value = read_provider("SING_CUDA_ATTENTION");
  return value;
}

/// From here on cuDNN is the faster one, as far as public measurements say.
constexpr int64_t kLongSequence = 384;

bool wants_cudnn(const kernels::AttentionProblem& p) {
  return choice() == Provider::cudnn ||
         (choice() == Provider::automatic && p.queries >= kLongSequence && p.keys >= kLongSequence);
}

/// False where cuDNN is not wanted, does not serve these arguments, or cannot be there.
bool by_cudnn(const kernels::AttentionForwardArgs& args) {
  if (!wants_cudnn(args.problem)) return false;
#if defined(SING_CUDA_EMULATED)
  return false;
#else
  return cudnn::try_forward(args);
#endif
}
bool by_cudnn(const kernels::AttentionBackwardArgs& args) {
  if (!wants_cudnn(args.problem)) return false;
#if defined(SING_CUDA_EMULATED)
  return false;
#else
  return cudnn::try_backward(args);
#endif
}

void forward(const kernels::AttentionForwardArgs& args) {
  if (!by_cudnn(args) && !mma_attention_forward(args)) plain_attention_forward(args);
}

void backward(const kernels::AttentionBackwardArgs& args) {
  if (!by_cudnn(args) && !mma_attention_backward(args)) plain_attention_backward(args);
}

SING_CUDA_KERNEL(kernels::attention_forward, forward)
SING_CUDA_KERNEL(kernels::attention_backward, backward)

}  // namespace
}  // namespace sing::cuda
