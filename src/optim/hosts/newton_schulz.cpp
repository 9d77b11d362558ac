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

/// A matrix as an operand: element (i, j) is at i * row + j * col.
struct Operand {
  const Tensor& data;
  int64_t row, col;
  Operand transposed() const { return {data, col, row}; }
};

void multiply(const Operand& a, const Operand& b, Tensor& c, int64_t m, int64_t n, int64_t k,
              bool accumulate) {
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
  g.accumulate = accumulate;
  kernels::gemm(c.device().type, g);
}

}  // namespace

void NewtonSchulz::reserve(const TensorOptions& options, int64_t elements, int64_t short_side) {
  next_ = Tensor::empty({elements}, options);
  gram_ = Tensor::empty({short_side * short_side}, options);
  polynomial_ = Tensor::empty({short_side * short_side}, options);
}

const void* NewtonSchulz::run(Tensor& matrix, int64_t rows, int64_t cols, double norm,
                              int64_t steps, bool in_place) {
  // The small epsilon is part of the published rule; it keeps zero zero.
  combine(0, matrix, 1 / (norm + 1e-7), matrix, rows * cols);
  const bool tall = rows > cols;
  const int64_t side = std::min(rows, cols), length = std::max(rows, cols);
  Tensor *now = &matrix, *next = &next_;
  for (int64_t step = 0; step < steps; ++step) {
    // A tall X is what a wide one is with everything transposed: X^T X on the shorter side.
    const Operand x{*now, cols, 1};
    const Operand wide = tall ? x.transposed() : x;
    multiply(wide, wide.transposed(), gram_, side, side, length, false);
    const Operand gram{gram_, side, 1}, polynomial{polynomial_, side, 1};
    multiply(gram, gram, polynomial_, side, side, side, false);
    combine(kB, gram_, kC, polynomial_, side * side);
    combine(kA, *now, 0, *next, rows * cols);
    if (tall)
      multiply(x, polynomial, *next, rows, cols, side, true);
    else
      multiply(polynomial, x, *next, rows, cols, side, true);
    std::swap(now, next);
  }
  if (in_place && now != &matrix) {
    combine(1, *now, 0, matrix, rows * cols);
    now = &matrix;
  }
  return now->raw();
}

}  // namespace sing::optim
