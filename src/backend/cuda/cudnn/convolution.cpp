#include "backend/cuda/cudnn/convolution.h"

#include <mutex>
#include <set>
#include <string>

#include "backend/cuda/cudnn/convolution_graph.h"
#include "backend/cuda/cudnn/library.h"
#include "backend/cuda/switches.h"
#include "kernels/cuda/backend.h"
#include "kernels/memory.h"
#include "sing/core/log.h"

namespace sing::cuda::cudnn {
namespace {

using kernels::Conv2dGeometry;
using Pointers = std::vector<std::pair<int64_t, void*>>;

bool serves(const Conv2dGeometry& g, DType dtype) {
  return (dtype == DType::f32 || dtype == DType::bf16) && g.n > 0 && g.in_channels > 0 &&
         g.out_channels > 0;
}

/// A large convolution without a plan takes many times as long: nobody is to wonder why.
void warn_once(const PlanKey& key, const Conv2dGeometry& g) {
  constexpr double kLarge = 1e9;  // operations
  static std::mutex mutex;
  static auto* const known = new std::set<PlanKey>;
  const double operations = 2.0 * static_cast<double>(g.n * g.out_h * g.out_w * g.out_channels) *
                            static_cast<double>(g.in_channels / g.groups * g.kernel_h * g.kernel_w);
  const std::lock_guard lock(mutex);
  if (operations < kLarge || !known->insert(key).second) return;
  log_warning("cudnn: no plan for a convolution of " + std::to_string(g.n) + " x " +
              std::to_string(g.in_channels) + " x " + std::to_string(g.in_h) + " x " +
              std::to_string(g.in_w) + " to " + std::to_string(g.out_channels) +
              " channels: our own, much slower kernel serves it");
}

bool run(const ConvolutionProblem& problem, const Pointers& pointers, Stream stream) {
  Library& library = Library::get();
  const PlanRules rules{deterministic(), problem.dtype == DType::f32 && !allow_tf32()};
  PlanKey key = problem.key();
  key.push_back(rules.deterministic);
  key.push_back(rules.strict_f32);
  const std::shared_ptr<const Plan> plan = library.plan(
      key, rules, [&](const Target& target) { return convolution_graph(problem, target); });
  if (plan == nullptr) {
    warn_once(key, problem.geometry);
    return false;
  }
  library.run(*plan, pointers, stream);
  return true;
}

/// cuDNN takes pointers to what it reads as pointers to what it may write.
void* writable(const void* pointer) {
  return const_cast<void*>(pointer);
}

}  // namespace

bool try_convolution(const kernels::Conv2dFwdArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  const int64_t alignment = alignment_of({a.x, a.weight, a.y, a.bias});
  Pointers pointers{{kImage, writable(a.x)}, {kFilter, writable(a.weight)}, {kOutput, a.y}};
  if (a.bias != nullptr) pointers.emplace_back(kBias, writable(a.bias));
  return run({ConvolutionPass::forward, a.g, a.dtype, a.dtype, a.bias != nullptr, false, alignment},
             pointers, a.stream);
}

bool try_convolution(const kernels::Conv2dBwdDataArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  const int64_t alignment = alignment_of({a.grad_x, a.weight, a.grad_y});
  return run({ConvolutionPass::backward_data, a.g, a.dtype, a.dtype, false, false, alignment},
             {{kImage, a.grad_x}, {kFilter, writable(a.weight)}, {kOutput, writable(a.grad_y)}},
             a.stream);
}

bool try_convolution(const kernels::Conv2dBwdWeightArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  const bool direct = a.grad_weight_dtype == a.dtype;
  const auto pass = [&](void* to, bool accumulate) {
    const int64_t alignment = alignment_of({a.x, a.grad_y, to});
    return run(
        {ConvolutionPass::backward_weight, a.g, a.dtype, a.dtype, false, accumulate, alignment},
        {{kImage, writable(a.x)}, {kFilter, to}, {kOutput, writable(a.grad_y)}}, a.stream);
  };
  if (direct) return pass(a.grad_weight, a.add_weight);
  const Conv2dGeometry& g = a.g;
  const auto elements =
      static_cast<size_t>(g.out_channels * (g.in_channels / g.groups) * g.kernel_h * g.kernel_w);
  const Workspace found(elements * size_of(a.dtype), a.stream);
  if (!pass(found.data(), false)) return false;
  kernels::StridedCopyArgs copy{};
  copy.to = a.grad_weight;
  copy.to_dtype = a.grad_weight_dtype;
  copy.from = found.data();
  copy.from_dtype = a.dtype;
  copy.rank = 1;
  copy.dims[0] = static_cast<int64_t>(elements);
  copy.to_strides[0] = copy.from_strides[0] = 1;  // both in the order of weight_strides
  copy.accumulate = a.add_weight;
  copy.stream = a.stream;
  kernels::strided_copy(DeviceType::cuda, copy);
  return true;
}

}  // namespace sing::cuda::cudnn
