#pragma once
#include "kernels/conv.h"

// Convolution by cuDNN. Each function says by its result whether cuDNN served the call; when it
// did not, nothing was written. True f32 unless allow_tf32(); deterministic engines only unless
// deterministic() is off.
namespace sing::cuda::cudnn {

bool try_convolution(const kernels::Conv2dFwdArgs& args);
bool try_convolution(const kernels::Conv2dBwdDataArgs& args);
/// The gradient of the weight only. cuDNN gives it in the dtype of the images: for bf16 images and
/// an f32 gradient the sum over the batch, taken in f32, is rounded to bf16 once and then added.
bool try_convolution(const kernels::Conv2dBwdWeightArgs& args);

}  // namespace sing::cuda::cudnn
