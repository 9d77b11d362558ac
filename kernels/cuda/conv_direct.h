#pragma once
#include "kernels/conv.h"

// Convolution by the backend's own kernels: any geometry, f32 and bf16, sums in f32 in an order
// that depends on the geometry alone. They serve what cuDNN does not take.
namespace sing::cuda {

/// Throw NotImplementedError for dtypes other than f32 and bf16.
void conv2d_forward_direct(const kernels::Conv2dFwdArgs& args);
void conv2d_backward_data_direct(const kernels::Conv2dBwdDataArgs& args);
/// The gradient of the weight only (not of the bias); args.grad_weight must be there.
void conv2d_backward_weight_direct(const kernels::Conv2dBwdWeightArgs& args);

}  // namespace sing::cuda
