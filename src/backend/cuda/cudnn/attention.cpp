#include "backend/cuda/cudnn/attention.h"

#include <limits>

#include "backend/cuda/cudnn/attention_graph.h"
#include "backend/cuda/cudnn/attention_rules.h"
#include "backend/cuda/cudnn/library.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/switches.h"
#include "kernels/cuda/backend.h"

namespace sing::cuda::cudnn {
namespace {

using kernels::AttentionProblem;
using Pointers = std::vector<std::pair<int64_t, void*>>;

template <class Args>
bool served(const Args& args) {
  static const bool any_length = read_switch("SING_CUDA_ATTENTION_ANY_LENGTH", false);
  const cudaDeviceProp& device = runtime().properties();
  const AttentionRules rules{static_cast<int64_t>(cudnnGetVersion()),
                             device.major * 10 + device.minor, any_length};
  return refusal(args, rules) == nullptr;
}

void* writable(const void* pointer) {
  return const_cast<void*>(pointer);
}

int64_t rows(const AttentionProblem& p) {
  return p.batch * p.heads * p.queries;
}

/// What sets the keys of both passes apart from each other and from those of convolutions.
enum KeyKind : int64_t { kForward = 100, kBackward = 101 };

PlanKey tagged(KeyKind kind, PlanKey key) {
  key.insert(key.begin(), kind);
  return key;
}

}  // namespace

bool try_forward(const kernels::AttentionForwardArgs& a) {
  const AttentionProblem& p = a.problem;
  if (!served(a)) return false;
  Library& library = Library::get();
  const std::shared_ptr<const Plan> plan =
      library.plan(tagged(kForward, plan_key(a, kAttentionAlignment)), {deterministic(), false},
                   [&](const Target& target) {
                     return attention_forward_graph(a, kAttentionAlignment, target);
                   });
  if (plan == nullptr) return false;
  auto scale = static_cast<float>(p.scale), hidden = -std::numeric_limits<float>::infinity();
  Pointers pointers{{kFwdQ, writable(a.q)}, {kFwdK, writable(a.k)},  {kFwdV, writable(a.v)},
                    {kFwdOut, a.out},       {kFwdLogSum, a.log_sum}, {kFwdScale, &scale}};
  if (p.causal) pointers.emplace_back(kFwdHidden, &hidden);
  library.run(*plan, pointers, a.stream, true);
  return true;
}

bool try_backward(const kernels::AttentionBackwardArgs& a) {
  const AttentionProblem& p = a.problem;
  if (!served(a)) return false;
  const bool ordered = deterministic();
  Library& library = Library::get();
  const std::shared_ptr<const Plan> plan =
      library.plan(tagged(kBackward, plan_key(a, kAttentionAlignment, ordered)), {ordered, false},
                   [&](const Target& target) {
                     return attention_backward_graph(a, kAttentionAlignment, ordered, target);
                   });
  if (plan == nullptr) return false;
  const auto row_bytes = static_cast<size_t>(rows(p)) * sizeof(float);
  const Workspace row_sum(row_bytes, a.stream);
  const size_t accumulator_bytes = ordered ? 0 : row_bytes * static_cast<size_t>(p.dim);
  const Workspace accumulator(accumulator_bytes, a.stream);
  // The gradient of q is added up there. Newer releases clear it themselves; to rely on that, a
  // device has to show it.
  if (!ordered) runtime().fill_zero(accumulator.data(), accumulator_bytes, a.stream);
  auto scale = static_cast<float>(p.scale), one = 1.0f,
       hidden = -std::numeric_limits<float>::infinity();
  Pointers pointers{
      {kBwdQ, writable(a.q)},       {kBwdK, writable(a.k)},       {kBwdV, writable(a.v)},
      {kBwdOut, writable(a.out)},   {kBwdGrad, writable(a.grad)}, {kBwdLogSum, writable(a.log_sum)},
      {kBwdGradQ, a.grad_q},        {kBwdGradK, a.grad_k},        {kBwdGradV, a.grad_v},
      {kBwdRowSum, row_sum.data()}, {kBwdScale, &scale},          {kBwdOne, &one}};
  if (p.causal) pointers.emplace_back(kBwdHidden, &hidden);
  if (!ordered) pointers.emplace_back(kBwdAccumulator, accumulator.data());
  library.run(*plan, pointers, a.stream, true);
  return true;
}

}  // namespace sing::cuda::cudnn
