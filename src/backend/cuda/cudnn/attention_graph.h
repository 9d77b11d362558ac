#pragma once
#include <string>
#include <vector>

#include "backend/cuda/cudnn/graph.h"
#include "kernels/attention.h"

// Attention as cuDNN's composite graph: two matrix products with the softmax between them, written
// out operation by operation, which its engines recognise and run as one kernel. bf16, no mask or
// a causal one, no dropout.
namespace sing::cuda::cudnn {

/// Unique ids in the forward graph.
enum AttentionForwardTensor : int64_t {
  kFwdQ = 1,
  kFwdK,
  kFwdV,
  kFwdOut,
  kFwdLogSum,  ///< f32 (batch, heads, queries), dense
  kFwdScale,   ///< host f32
  kFwdHidden,  ///< host f32: what hidden scores become; causal only
};

/// Unique ids in the backward graph.
enum AttentionBackwardTensor : int64_t {
  kBwdQ = 1,
  kBwdK,
  kBwdV,
  kBwdOut,
  kBwdGrad,
  kBwdLogSum,
  kBwdGradQ,
  kBwdGradK,
  kBwdGradV,
  kBwdRowSum,       ///< f32 (batch, heads, queries), dense; scratch memory of the caller
  kBwdScale,        ///< host f32
  kBwdOne,          ///< host f32: 1
  kBwdHidden,       ///< host f32; causal only
  kBwdAccumulator,  ///< f32 (batch, heads, queries, dim), dense; scratch; not when deterministic
};

/// What a plan depends on: sizes, strides, kind of mask; no pointers.
std::vector<int64_t> plan_key(const kernels::AttentionForwardArgs& a, int64_t alignment);
std::vector<int64_t> plan_key(const kernels::AttentionBackwardArgs& a, int64_t alignment,
                              bool deterministic);

/// "attention forward, q (512, 6, 256, 64), keys 256, bf16, causal".
std::string text_of(const kernels::AttentionProblem& p, const char* pass);

/// Finalised. The log-sums are natural logarithms of the sums over the scaled scores. Throws
/// BackendError.
Graph attention_forward_graph(const kernels::AttentionForwardArgs& a, int64_t alignment,
                              const Target& target);
/// Deterministic: the gradient of q is one product of stored scores, for which the engine takes
/// about batch * heads * queries * keys * 2 bytes of workspace. Otherwise it is added up in an f32
/// buffer by several blocks in any order.
Graph attention_backward_graph(const kernels::AttentionBackwardArgs& a, int64_t alignment,
                               bool deterministic, const Target& target);

}  // namespace sing::cuda::cudnn
