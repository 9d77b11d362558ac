#pragma once
#include "kernels/attention.h"

namespace sing::cuda::cudnn {

/// Bytes: what pointers and rows of attention's operands are aligned to.
inline constexpr int64_t kAttentionAlignment = 16;

/// What of an attention call is left to cuDNN. `version` as 91900; `capability` of the device times
/// ten; `any_length` lifts the rule about lengths.
struct AttentionRules {
  int64_t version;
  int capability;
  bool any_length = false;
};

/// A sentence that says why cuDNN does not get this call, or null.
const char* refusal(const kernels::AttentionForwardArgs& a, const AttentionRules& rules);
const char* refusal(const kernels::AttentionBackwardArgs& a, const AttentionRules& rules);

}  // namespace sing::cuda::cudnn
