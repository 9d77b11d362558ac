#include "backend/cuda/cudnn/attention_rules.h"

namespace sing::cuda::cudnn {
namespace {

/// Releases whose attention is known to be wrong for some shapes.
bool faulty(int64_t version) {
  return version == 91000 || version == 91001 || version == 91400;
}

/// A tile of 128 rows that is half filled: H100 and H200 have given NaN in the gradient of q there
/// (https://github.com/pytorch/pytorch/issues/196678). Reported for calls with a mask, which never
/// come here; without a device to try, unmasked ones of such lengths stay away as well.
bool half_tile(int64_t length) {
  return length % 128 == 64;
}

bool aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % kAttentionAlignment == 0;
}

/// Every row starts where 16 bytes can be loaded at once.
bool aligned(const void* pointer, const kernels::HeadStrides& s) {
  constexpr int64_t kElements = kAttentionAlignment / 2;  // of bf16
  return aligned(pointer) && s.batch % kElements == 0 && s.head % kElements == 0 &&
         s.row % kElements == 0;
}

const char* refused(const kernels::AttentionProblem& p, const AttentionRules& rules) {
  if (rules.version < 90600) return "cuDNN is older than 9.6";
  if (faulty(rules.version)) return "this release of cuDNN has faults in attention";
  if (rules.capability < 80) return "the device is older than compute capability 8.0";
  if (p.dtype != DType::bf16) return "only bf16";
  if (p.mask != nullptr) return "mask tensors can give NaN gradients";
  if (p.drop_below != 0) return "no dropout";
  if (p.batch <= 0 || p.heads <= 0) return "nothing to do";
  if (p.dim <= 0 || p.dim % 8 != 0 || p.value_dim <= 0 || p.value_dim % 8 != 0)
    return "head dimensions must be multiples of 8";
  const int64_t most = rules.capability >= 90 ? 256 : 128;
  if (p.dim > most || p.value_dim > most) return "head dimensions are too large";
  // One query with very negative log-sums has given NaN
  // (https://github.com/NVIDIA/cudnn-frontend/issues/160).
  if (p.queries < 2 || p.keys < 2) return "a single query or key";
  if (!rules.any_length && (half_tile(p.queries) || half_tile(p.keys)))
    return "lengths of 64 modulo 128 can give NaN gradients";
  return nullptr;
}

constexpr const char* kUnaligned = "rows are not aligned to 16 bytes";

}  // namespace

const char* refusal(const kernels::AttentionForwardArgs& a, const AttentionRules& rules) {
  if (const char* reason = refused(a.problem, rules)) return reason;
  const bool fits = aligned(a.q, a.q_strides) && aligned(a.k, a.k_strides) &&
                    aligned(a.v, a.v_strides) && aligned(a.out, a.out_strides) &&
                    aligned(a.log_sum);
  return fits ? nullptr : kUnaligned;
}

const char* refusal(const kernels::AttentionBackwardArgs& a, const AttentionRules& rules) {
  if (const char* reason = refused(a.problem, rules)) return reason;
  const bool fits = aligned(a.q, a.q_strides) && aligned(a.k, a.k_strides) &&
                    aligned(a.v, a.v_strides) && aligned(a.out, a.out_strides) &&
                    aligned(a.grad, a.grad_strides) && aligned(a.log_sum) &&
                    aligned(a.grad_q, a.grad_q_strides) && aligned(a.grad_k, a.grad_k_strides) &&
                    aligned(a.grad_v, a.grad_v_strides);
  return fits ? nullptr : kUnaligned;
}

}  // namespace sing::cuda::cudnn
