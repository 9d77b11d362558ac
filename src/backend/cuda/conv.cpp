// Convolution: cuDNN where it has a plan, own kernels for the rest.
#include "kernels/conv.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv_direct.h"
#include "kernels/reduce.h"
#if defined(SING_CUDA_EMULATED)
#include "cuda/emulator/convolutions.h"
#else
#include "backend/cuda/cudnn/convolution.h"
#endif

namespace sing::cuda {
namespace {

/// False where the library does not serve these arguments, or cannot be there.
template <class Args>
bool by_library(const Args& args) {
#if defined(SING_CUDA_EMULATED)
  return emulator::tracing() && emulator::trace_convolution(args);
#else
  return cudnn::try_convolution(args);
#endif
}

void forward(const kernels::Conv2dFwdArgs& args) {
  if (!by_library(args)) conv2d_forward_direct(args);
}

void backward_data(const kernels::Conv2dBwdDataArgs& args) {
  if (!by_library(args)) conv2d_backward_data_direct(args);
}

/// Sums of grad_y over all pixels.
void backward_bias(const kernels::Conv2dBwdWeightArgs& args) {
  kernels::ReduceArgs sum{};
  sum.out = args.grad_bias;
  sum.x = args.grad_y;
  sum.dtype = args.dtype;
  sum.out_dtype = args.grad_bias_dtype;
  sum.op = kernels::ReduceOp::sum;
  sum.scale = 1;
  sum.accumulate = args.add_bias;
  sum.kept_rank = sum.reduced_rank = 1;
  sum.kept_dims[0] = sum.reduced_strides[0] = args.g.out_channels;
  sum.kept_strides[0] = 1;
  sum.reduced_dims[0] = args.g.n * args.g.out_h * args.g.out_w;
  sum.stream = args.stream;
  kernels::reduce(DeviceType::cuda, sum);
}

void backward_weight(const kernels::Conv2dBwdWeightArgs& args) {
  if (args.grad_weight != nullptr && !by_library(args)) conv2d_backward_weight_direct(args);
  if (args.grad_bias != nullptr) backward_bias(args);
}

SING_CUDA_KERNEL(kernels::conv2d_fwd, forward)
SING_CUDA_KERNEL(kernels::conv2d_bwd_data, backward_data)
SING_CUDA_KERNEL(kernels::conv2d_bwd_weight, backward_weight)

}  // namespace
}  // namespace sing::cuda
