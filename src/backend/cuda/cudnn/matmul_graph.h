#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "backend/cuda/cudnn/graph.h"

// Products with exact (erf) GELU in their last write, which cuBLASLt does not have: it computes the
// tanh form only. bf16 with sums and GELU in f32.
namespace sing::cuda::cudnn {

enum class GeluPass : uint8_t {
  result,           ///< C = gelu(A B + bias)
  result_and_kept,  ///< and what stands before the activation, rounded to bf16, for the way back
  gradient,         ///< C = (A B) gelu'(kept)
};

/// Everything a plan depends on. A is m x k, B k x n, C and what is kept m x n; strides in
/// elements. GELU is computed from the unrounded f32 sum, as in the tanh form of cuBLASLt, so that
/// its value does not depend on whether something is kept; the derivative from the rounded value
/// that was.
struct GeluProblem {
  GeluPass pass;
  bool bias;
  int64_t m, n, k;
  int64_t a_row, b_row, b_col, c_row;

  std::vector<int64_t> key() const;
  /// "product with GELU (32768, 384) x (384, 1536) bf16, second transposed, bias, ...".
  std::string text() const;
};

/// Where every row and vector starts, and what every pointer is promised to have, in bytes.
inline constexpr int64_t kMatmulAlignment = 16;

/// Unique ids in the graphs made here.
enum MatmulTensor : int64_t { kLeft = 1, kRight, kResult, kKept, kBiasRow };

/// Finalised. Throws BackendError for what cuDNN does not accept.
Graph gelu_graph(const GeluProblem& problem, const Target& target);

}  // namespace sing::cuda::cudnn
