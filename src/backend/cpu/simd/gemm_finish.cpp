// What follows the sums of a matrix product: old value of C, bias, activation, conversion. Several
// rows pass through together, operation by operation, because one row's chain of operations is
// longer than the processor looks ahead.
#include "backend/cpu/simd/gemm_finish.h"

#include "backend/cpu/simd/elements.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int kTogether = 2;

template <int kRows>
using Block = vf[kRows];

/// x becomes act(x), slope its derivative.
template <Epilogue kEpilogue, int kRows>
SING_INLINE void activate(Block<kRows>& x, Block<kRows>& slope) {
  if constexpr (kEpilogue == Epilogue::gelu) {
    gelu_together(x, slope);
    return;
  }
  for (int r = 0; r < kRows; ++r) {
    const vf before = x[r];
    if constexpr (kEpilogue == Epilogue::relu) {
      x[r] = (before < 0.0f) ? vf{} : before;
      slope[r] = (before > 0.0f) ? set1(1.0f) : vf{};
    } else if constexpr (kEpilogue == Epilogue::gelu_tanh) {
      x[r] = gelu_tanh(before);
      slope[r] = gelu_tanh_derivative(before);
    } else {
      slope[r] = set1(1.0f);
    }
  }
}

/// One vector of columns, kRows rows.
template <Epilogue kEpilogue, bool kNarrow, int kRows>
SING_INLINE void finish_block(const GemmArgs& g, const float* sums, int64_t stride, int64_t at,
                              vf bias, Mask lanes, bool add_old) {
  using Out = Elements<kNarrow>;
  Block<kRows> x, slope;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    x[r] = load(sums + r * stride, lanes);
    if (add_old) x[r] = x[r] + Out::get(g.c, at + r * g.c_row, lanes);
    x[r] = x[r] + bias;
  }
  activate<kEpilogue, kRows>(x, slope);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if (g.slope != nullptr) Out::put(g.slope, at + r * g.c_row, slope[r], lanes);
    Out::put(g.c, at + r * g.c_row, x[r], lanes);
  }
}

template <Epilogue kEpilogue, bool kNarrow>
void finish(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, int64_t column,
            int64_t rows, int64_t n, bool add_old) {
  for (int64_t j = 0; j < n; j += kWidth) {
    const Mask lanes = first(n - j < kWidth ? n - j : kWidth);
    vf bias{};
    if (g.bias != nullptr)
      bias = g.dtype == DType::bf16 ? Elements<true>::get(g.bias, column + j, lanes)
                                    : Elements<false>::get(g.bias, column + j, lanes);
    int64_t i = 0;
    for (; i + kTogether <= rows; i += kTogether)
      finish_block<kEpilogue, kNarrow, kTogether>(g, sums + i * stride + j, stride,
                                                  c_at + i * g.c_row + j, bias, lanes, add_old);
    for (; i < rows; ++i)
      finish_block<kEpilogue, kNarrow, 1>(g, sums + i * stride + j, stride, c_at + i * g.c_row + j,
                                          bias, lanes, add_old);
  }
}

template <bool kNarrow>
void by_epilogue(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, int64_t column,
                 int64_t rows, int64_t n, bool add_old) {
  const auto kernel = g.epilogue == Epilogue::relu        ? finish<Epilogue::relu, kNarrow>
                      : g.epilogue == Epilogue::gelu      ? finish<Epilogue::gelu, kNarrow>
                      : g.epilogue == Epilogue::gelu_tanh ? finish<Epilogue::gelu_tanh, kNarrow>
                                                          : finish<Epilogue::none, kNarrow>;
  kernel(g, sums, stride, c_at, column, rows, n, add_old);
}

}  // namespace

void finish_sums(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, int64_t column,
                 int64_t rows, int64_t n, bool add_old) {
  if (g.c_dtype == DType::bf16)
    by_epilogue<true>(g, sums, stride, c_at, column, rows, n, add_old);
  else
    by_epilogue<false>(g, sums, stride, c_at, column, rows, n, add_old);
}

}  // namespace sing::kernels::SING_SIMD
