#include "backend/cuda/cudnn/matmul_rules.h"

#include <algorithm>
#include <initializer_list>

namespace sing::cuda::cudnn {
namespace {

constexpr int64_t kElements = kMatmulAlignment / 2;  // of bf16

bool whole(std::initializer_list<int64_t> strides) {
  return std::ranges::all_of(strides, [](int64_t s) { return s % kElements == 0; });
}

}  // namespace

std::optional<GeluProblem> gelu_problem(const kernels::GemmArgs& g) {
  if (g.epilogue != kernels::Epilogue::gelu || g.dtype != DType::bf16 || g.c_dtype != DType::bf16)
    return std::nullopt;
  if (g.accumulate || g.bias_grad != nullptr || g.m <= 0 || g.n <= 0 || g.k <= 0)
    return std::nullopt;
  for (int d = 0; d < g.batch_rank; ++d)
    if (g.batch[static_cast<size_t>(d)] != 1) return std::nullopt;
  const bool transposed = g.b_row == 1;
  if (g.a_col != 1 || (!transposed && g.b_col != 1)) return std::nullopt;
  if (g.a_row < g.k || g.c_row < g.n || (transposed ? g.b_col < g.k : g.b_row < g.n))
    return std::nullopt;
  if (!whole({g.n, g.k, g.a_row, transposed ? g.b_col : g.b_row, g.c_row})) return std::nullopt;
  if (alignment_of({g.a, g.b, g.c, g.bias, g.slope, g.kept}) < kMatmulAlignment)
    return std::nullopt;
  GeluPass pass = GeluPass::result;
  if (g.slope != nullptr) pass = GeluPass::result_and_kept;
  if (g.kept != nullptr) pass = GeluPass::gradient;
  return GeluProblem{pass, g.bias != nullptr, g.m, g.n, g.k, g.a_row, g.b_row, g.b_col, g.c_row};
}

const char* why_not_timed(const GeluProblem& problem, const TimingRules& rules) {
  constexpr int64_t kWorthTiming = int64_t{1} << 21;
  if (problem.m * problem.n < kWorthTiming) return "it is small";
  if (rules.captured) return "it was first called in a graph";
  if (rules.deterministic && !rules.has_file)
    return "train.deterministic needs SING_CUDA_PLANS=FILE to keep what was found fastest";
  return nullptr;
}

}  // namespace sing::cuda::cudnn
