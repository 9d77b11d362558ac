#pragma once
#include "kernels/attention.h"

// Attention by cuDNN's composite graph. Each function says by its result whether cuDNN served the
// call; when it did not, nothing was written. Served: bf16, no mask or causal, no dropout, head
// dimensions that are multiples of 8, 16-byte aligned rows, lengths outside those for which NaN
// gradients are known (attention_rules.h). deterministic() holds for the gradients.
namespace sing::cuda::cudnn {

bool try_forward(const kernels::AttentionForwardArgs& args);
bool try_backward(const kernels::AttentionBackwardArgs& args);

}  // namespace sing::cuda::cudnn
