// Matrix products in f32 for processors without AVX2, and for strides the vector kernels leave out:
// Eigen's own blocking, one thread a chunk of rows.
#define EIGEN_DONT_PARALLELIZE
#include "kernels/gemm.h"

#include <Eigen/Core>
#include <algorithm>

#include "backend/cpu/ref/activation.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Columns = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
using Step = Eigen::OuterStride<>;
using RowMap = Eigen::Map<const Rows, 0, Step>;
using ColumnMap = Eigen::Map<const Columns, 0, Step>;
using OutMap = Eigen::Map<Rows, 0, Step>;

constexpr int64_t kRowsPerChunk = 64;  // fixed, so that sums do not depend on the thread count

/// Calls f with a map of an operand whose rows or columns are dense.
template <class F>
void with_operand(const float* data, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step,
                  F&& f) {
  if (col_step == 1)
    f(RowMap(data, rows, cols, Step(row_step)));
  else
    f(ColumnMap(data, rows, cols, Step(col_step)));
}

void finish_row(const GemmArgs& g, float* c, float* slope) {
  const float* bias = static_cast<const float*>(g.bias);
  for (int64_t j = 0; j < g.n; ++j) {
    const double value = static_cast<double>(c[j]) + (bias ? static_cast<double>(bias[j]) : 0.0);
    if (slope) slope[j] = static_cast<float>(cpu::activation_derivative(g.epilogue, value));
    c[j] = static_cast<float>(cpu::activation(g.epilogue, value));
  }
}

bool gemm_eigen(const GemmArgs& g) {
  const bool served = g.dtype == DType::f32 && g.c_dtype == DType::f32 &&
                      (g.a_col == 1 || g.a_row == 1) && (g.b_col == 1 || g.b_row == 1) && g.k > 0;
  if (!served) return false;
  int64_t batches = 1;
  for (int i = 0; i < g.batch_rank; ++i) batches *= g.batch[static_cast<size_t>(i)];
  const int64_t chunks = g.m == 0 || g.n == 0 ? 0 : (g.m - 1) / kRowsPerChunk + 1;
  parallel_for(batches * chunks, [&](int64_t number) {
    const int64_t first = (number % chunks) * kRowsPerChunk;
    const int64_t rows = std::min(kRowsPerChunk, g.m - first);
    int64_t index = number / chunks, a_at = first * g.a_row, b_at = 0, c_at = first * g.c_row;
    for (size_t i = static_cast<size_t>(g.batch_rank); i-- > 0;) {
      const int64_t at = index % g.batch[i];
      index /= g.batch[i];
      a_at += at * g.a_batch[i];
      b_at += at * g.b_batch[i];
      c_at += at * g.c_batch[i];
    }
    float* c = static_cast<float*>(g.c) + c_at;
    OutMap out(c, rows, g.n, Step(g.c_row));
    with_operand(static_cast<const float*>(g.a) + a_at, rows, g.k, g.a_row, g.a_col,
                 [&](const auto& a) {
                   with_operand(static_cast<const float*>(g.b) + b_at, g.k, g.n, g.b_row, g.b_col,
                                [&](const auto& b) {
                                  if (g.accumulate)
                                    out.noalias() += a * b;
                                  else
                                    out.noalias() = a * b;
                                });
                 });
    if (g.bias == nullptr && g.epilogue == Epilogue::none && g.slope == nullptr) return;
    float* slope = g.slope == nullptr ? nullptr : static_cast<float*>(g.slope) + c_at;
    for (int64_t i = 0; i < rows; ++i)
      finish_row(g, c + i * g.c_row, slope == nullptr ? nullptr : slope + i * g.c_row);
  });
  return true;
}

SING_FAST_KERNEL(gemm, gemm_eigen, 50, "eigen")

}  // namespace
}  // namespace sing::kernels
