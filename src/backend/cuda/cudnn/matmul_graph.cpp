#include "backend/cuda/cudnn/matmul_graph.h"

#include "sing/core/error.h"

namespace sing::cuda::cudnn {
namespace {

std::string text_of(int64_t rows, int64_t columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

void build(Graph& graph, const GeluProblem& p) {
  constexpr cudnnDataType_t kNarrow = CUDNN_DATA_BFLOAT16, kWide = CUDNN_DATA_FLOAT;
  const Dims result{1, p.m, p.n}, result_strides{p.m * p.c_row, p.c_row, 1};
  const int64_t a =
      graph.tensor(kNarrow, {1, p.m, p.k}, {p.m * p.a_row, p.a_row, 1}, kMatmulAlignment);
  const int64_t b =
      graph.tensor(kNarrow, {1, p.k, p.n}, {p.k * p.n, p.b_row, p.b_col}, kMatmulAlignment);
  const int64_t c = graph.tensor(kNarrow, result, result_strides, kMatmulAlignment);
  const int64_t kept = graph.tensor(kNarrow, result, result_strides, kMatmulAlignment);
  const int64_t bias = graph.tensor(kNarrow, {1, 1, p.n}, {p.n, p.n, 1}, kMatmulAlignment);
  SING_ASSERT(a == kLeft && b == kRight && c == kResult && kept == kKept && bias == kBiasRow);
  int64_t sum = graph.inner(kWide, result);
  graph.matmul(a, b, sum);
  if (p.pass == GeluPass::gradient) {
    graph.pointwise_gradient(CUDNN_POINTWISE_GELU_BWD, kept, sum, c);
    return;
  }
  if (p.bias) {
    const int64_t biased = graph.inner(kWide, result);
    graph.pointwise(CUDNN_POINTWISE_ADD, sum, bias, biased);
    sum = biased;
  }
  if (p.pass == GeluPass::result_and_kept)
    graph.pointwise(CUDNN_POINTWISE_IDENTITY, sum, Graph::kNone, kept);
  graph.pointwise(CUDNN_POINTWISE_GELU_FWD, sum, Graph::kNone, c);
}

}  // namespace

std::vector<int64_t> GeluProblem::key() const {
  return {static_cast<int64_t>(pass), bias, m, n, k, a_row, b_row, b_col, c_row};
}

std::string GeluProblem::text() const {
  std::string text = "product with GELU's derivative ";
  if (pass != GeluPass::gradient) text = "product with GELU ";
  text += text_of(m, k) + " x " + text_of(k, n) + " bf16";
  if (b_row == 1) text += ", second transposed";
  if (bias) text += ", bias";
  return text + (pass == GeluPass::result_and_kept ? ", input of GELU kept" : "");
}

Graph gelu_graph(const GeluProblem& problem, const Target& target) {
  Graph graph(problem.text());
  try {
    build(graph, problem);
    graph.finalize(target);
  } catch (const BackendError& error) {
    throw BackendError(error.what(), problem.text());
  }
  return graph;
}

}  // namespace sing::cuda::cudnn
