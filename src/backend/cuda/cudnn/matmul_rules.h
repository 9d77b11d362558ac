#pragma once
#include <optional>

#include "backend/cuda/cudnn/matmul_graph.h"
#include "kernels/gemm.h"

namespace sing::cuda::cudnn {

/// The product that cuDNN is asked for; nothing where it is not: other dtypes and activations, what
/// adds to C, batches, rows that are not whole 16 bytes or do not start at such an address.
std::optional<GeluProblem> gelu_problem(const kernels::GemmArgs& args);

/// What decides whether ways to compute a product may be timed at its first call.
struct TimingRules {
  bool captured;       ///< what is queued runs later
  bool deterministic;  ///< runs have to repeat each other, hence their choices
  bool has_file;       ///< choices outlive the process
};
/// Why they are not, or nullptr. Results with fewer than 2^21 elements are not worth the seconds
/// that compiling several kernels takes: the pass that would be saved takes microseconds.
const char* why_not_timed(const GeluProblem& problem, const TimingRules& rules);

}  // namespace sing::cuda::cudnn
