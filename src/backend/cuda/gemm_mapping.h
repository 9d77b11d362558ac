#pragma once
// GemmArgs as one call of a column-major library. Pure functions of plain structs: what a call
// means is tested without a device.
#include <algorithm>
#include <cstdint>
#include <optional>

#include "kernels/gemm.h"

namespace sing::cuda {

/// A column-major matrix as it lies in memory: element (r, c) at r + c * ld, ld >= rows.
struct LibraryMatrix {
  bool transposed;  // the product takes its transpose
  int64_t rows, cols, ld;
  int64_t batch_stride;
};

/// What the library does to sum and bias before it writes. gelu_tanh_grad multiplies by the
/// derivative at GemmArgs::kept.
enum class LibraryActivation : uint8_t { none, relu, gelu_tanh, gelu_tanh_grad };

/// D = act(op(A) op(B) + beta C + bias by rows) for each batch; beta is 1 with `accumulate`. A row
/// of our C is a column of D, so A is GemmArgs::b and B is GemmArgs::a. D lies like C and is
/// GemmArgs::slope with `to_slope`, else C itself.
struct LibraryProduct {
  int64_t rows, cols, depth, batches;  // of D, and the inner dimension
  LibraryMatrix a, b, c;
  LibraryActivation activation;
  bool bias, accumulate;
  bool keeps_input;  // the library writes the value before its activation to GemmArgs::slope
  bool to_slope;
  bool bias_grad;  // the library writes the sums of op(B) over the depth, in the dtype of D
  bool pass;       // afterwards C = act(D), or C *= act'(kept), by our own kernel
};

/// What one call reads and writes.
struct LibraryOperands {
  const void *a, *b, *c, *bias;
  void* d;
  void* kept;       // written with LibraryProduct::keeps_input, read by gelu_tanh_grad
  void* bias_grad;  // LibraryProduct::bias_grad
};

namespace mapping {

constexpr int64_t kLargest = INT32_MAX;  // sizes that every algorithm accepts

/// A rows x cols matrix whose element (r, c) is at r * row + c * col, as the library reads it.
inline std::optional<LibraryMatrix> matrix(int64_t rows, int64_t cols, int64_t row, int64_t col,
                                           int64_t batch_stride) {
  const auto fitting = [](int64_t ld) { return ld <= kLargest; };
  if (row == 1 || rows == 1) {
    const int64_t ld = cols == 1 ? rows : col;
    if (ld >= rows && fitting(ld)) return LibraryMatrix{false, rows, cols, ld, batch_stride};
  }
  if (col == 1 || cols == 1) {
    const int64_t ld = rows == 1 ? cols : row;
    if (ld >= cols && fitting(ld)) return LibraryMatrix{true, cols, rows, ld, batch_stride};
  }
  return std::nullopt;
}

/// Batches become more rows of A and C where B is the same for all, or one strided dimension.
/// False where they are neither.
struct Batch {
  int64_t count = 1, a = 0, b = 0, c = 0;
};
inline bool merge_batches(kernels::GemmArgs& g, Batch& batch) {
  bool strided = false;
  for (auto d = static_cast<size_t>(g.batch_rank); d-- > 0;) {
    const int64_t n = g.batch[d], a = g.a_batch[d], b = g.b_batch[d], c = g.c_batch[d];
    if (n == 1) continue;
    const bool more_rows =
        b == 0 && (g.m == 1 ? c >= g.n : a == g.m * g.a_row && c == g.m * g.c_row);
    if (!strided && more_rows) {
      if (g.m == 1) {
        g.a_row = a;
        g.c_row = c;
      }
      g.m *= n;
    } else if (!strided) {
      batch = {n, a, b, c};
      strided = true;
    } else if (a == batch.a * batch.count && b == batch.b * batch.count &&
               c == batch.c * batch.count) {
      batch.count *= n;
    } else {
      return false;
    }
  }
  // Two batches must not share results.
  return !strided || batch.c >= (g.m - 1) * g.c_row + g.n ||
         (batch.c >= g.n && g.c_row >= batch.c * batch.count);
}

/// Leaves the sums beside a weight gradient to the library where it keeps them as wide as asked.
inline void choose_sums(const kernels::GemmArgs& g, bool fuse, LibraryProduct& p) {
  p.bias_grad = fuse && g.bias_grad != nullptr && g.kept == nullptr && p.batches == 1 &&
                (g.c_dtype == DType::f32 || g.bias_grad_dtype == g.c_dtype);
}

inline void choose_activation(const kernels::GemmArgs& g, bool fuse, LibraryProduct& p) {
  using kernels::Epilogue;
  if (g.epilogue == Epilogue::none) return;
  if (fuse && g.epilogue == Epilogue::relu && g.slope == nullptr && g.kept == nullptr) {
    p.activation = LibraryActivation::relu;
    return;
  }
  // The library has the tanh form only, and computes it too roughly for f32 results. What it keeps
  // has columns of whole 16 bytes.
  const bool kept_fits = p.c.ld % 8 == 0 && (p.batches == 1 || p.c.batch_stride % 8 == 0);
  if (g.kept != nullptr) {
    const bool by_library =
        fuse && g.epilogue == Epilogue::gelu_tanh && g.c_dtype == DType::bf16 && kept_fits;
    if (by_library) p.activation = LibraryActivation::gelu_tanh_grad;
    p.pass = !by_library;
    return;
  }
  if (fuse && g.epilogue == Epilogue::gelu_tanh && g.c_dtype == DType::bf16 &&
      (g.slope == nullptr || kept_fits)) {
    p.activation = LibraryActivation::gelu_tanh;
    p.keeps_input = g.slope != nullptr;
    return;
  }
  p.pass = true;
  p.to_slope = g.slope != nullptr;
}

}  // namespace mapping

/// The call that computes `args`, or nothing where the own kernel has to. With `fuse` activations,
/// their gradients and bias gradients are left to the library where it has them.
inline std::optional<LibraryProduct> map_gemm(kernels::GemmArgs g, bool fuse) {
  const bool narrow = g.dtype == DType::bf16;
  if (!narrow && g.dtype != DType::f32) return std::nullopt;
  if (g.c_dtype != g.dtype && (!narrow || g.c_dtype != DType::f32 || g.bias != nullptr))
    return std::nullopt;
  if (g.slope != nullptr && g.epilogue == kernels::Epilogue::none) return std::nullopt;
  mapping::Batch batch;
  for (int d = 0; d < g.batch_rank; ++d)
    if (g.batch[static_cast<size_t>(d)] <= 0) return std::nullopt;
  if (g.m <= 0 || g.n <= 0 || g.k <= 0 || !mapping::merge_batches(g, batch)) return std::nullopt;
  if (std::max({g.m, g.n, g.k, batch.count}) > mapping::kLargest) return std::nullopt;
  const auto a = mapping::matrix(g.n, g.k, g.b_col, g.b_row, batch.b);
  const auto b = mapping::matrix(g.k, g.m, g.a_col, g.a_row, batch.a);
  const auto c = mapping::matrix(g.n, g.m, 1, g.c_row, batch.c);
  if (!a || !b || !c || c->transposed) return std::nullopt;
  LibraryProduct p{g.n, g.m, g.k, batch.count, *a, *b, *c};
  p.bias = g.bias != nullptr;
  p.accumulate = g.accumulate;
  mapping::choose_activation(g, fuse, p);
  mapping::choose_sums(g, fuse, p);
  return p;
}

}  // namespace sing::cuda
