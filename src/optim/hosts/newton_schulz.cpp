#include "optim/hosts/newton_schulz.h"

#include <algorithm>
#include <utility>

#include "kernels/gemm.h"
#if defined(SING_OPTIM_DEVICE)
#include "kernels/cuda/optim_matrix.h"
#endif
#include "optim/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {
namespace {

constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;  // of the published iteration

/// out = a x + c out; out is only written where c is 0.
void combine(double a, const Tensor& x, double c, Tensor& out, int64_t n) {
#if defined(SING_OPTIM_DEVICE)
  cuda::combine({}, a, static_cast<const float*>(x.raw()), c,
                static_cast<float*>(out.mutable_raw()), n);
#else
  constexpr int64_t kPiece = 16384;
  with_element(out.dtype(), [&]<class T>() {
    const T* const from = static_cast<const T*>(x.raw());
    T* const to = static_cast<T*>(out.mutable_raw());
    const T factor = static_cast<T>(a), kept = static_cast<T>(c);
    parallel_ranges(n, kPiece, [&](int64_t begin, int64_t end) {
      if (kept == 0)
        for (int64_t i = begin; i < end; ++i) to[i] = factor * from[i];
      else
        for (int64_t i = begin; i < end; ++i) to[i] = factor * from[i] + kept * to[i];
    });
  });
#endif
}

/// Matrices as an operand: element (i, j) is at i * row + j * col.
struct Operand {
  const Tensor& data;
  int64_t row, col, next;
  Operand transposed() const { return {data, col, row, next}; }
};

/// Of each of `count` matrices; those of an operand are `next` elements apart.
void multiply(const Operand& a, const Operand& b, Tensor& c, int64_t c_next, int64_t m, int64_t n,
              int64_t k, int64_t count, bool accumulate) {
  kernels::GemmArgs g{};
  g.a = a.data.raw();
  g.b = b.data.raw();
  g.c = c.mutable_raw();
  g.dtype = g.c_dtype = c.dtype();
  g.m = m;
  g.n = n;
  g.k = k;
  g.a_row = a.row;
  g.a_col = a.col;
  g.b_row = b.row;
  g.b_col = b.col;
  g.c_row = n;
  if (count > 1) {
    g.batch_rank = 1;
    g.batch = {count};
    g.a_batch = {a.next};
    g.b_batch = {b.next};
    g.c_batch = {c_next};
  }
  g.accumulate = accumulate;
  kernels::gemm(c.device().type, g);
}

}  // namespace

void NewtonSchulz::reserve(const TensorOptions& options, std::span<const Batch> batches) {
  int64_t elements = 0;
  for (const Batch& batch : batches)
    elements = std::max(elements, batch.count * batch.side() * batch.side());
  gram_ = Tensor::empty({elements}, options);
  polynomial_ = Tensor::empty({elements}, options);
}

void NewtonSchulz::scale(Tensor& x, double factor, int64_t n) {
  combine(0, x, factor, x, n);
}

Tensor& NewtonSchulz::run(Tensor& x, Tensor& other, const Batch& batch, int64_t steps) {
  const int64_t rows = batch.rows, cols = batch.cols, count = batch.count;
  const bool tall = rows > cols;
  const int64_t side = batch.side(), length = std::max(rows, cols), square = side * side;
  const int64_t all = batch.stride * (count - 1) + rows * cols;
  Tensor *now = &x, *next = &other;
  for (int64_t step = 0; step < steps; ++step) {
    // A tall X is what a wide one is with everything transposed: X^T X on the shorter side.
    const Operand matrix{*now, cols, 1, batch.stride};
    const Operand wide = tall ? matrix.transposed() : matrix;
    multiply(wide, wide.transposed(), gram_, square, side, side, length, count, false);
    const Operand gram{gram_, side, 1, square}, polynomial{polynomial_, side, 1, square};
    multiply(gram, gram, polynomial_, square, side, side, side, count, false);
    combine(kB, gram_, kC, polynomial_, count * square);
    combine(kA, *now, 0, *next, all);
    if (tall)
      multiply(matrix, polynomial, *next, batch.stride, rows, cols, side, count, true);
    else
      multiply(polynomial, matrix, *next, batch.stride, rows, cols, side, count, true);
    std::swap(now, next);
  }
  return *now;
}

}  // namespace sing::optim
