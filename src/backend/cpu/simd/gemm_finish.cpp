// What follows the sums of a matrix product: old value of C, bias, activation, conversion. Several
// rows pass through together, operation by operation, because one row's chain of operations is
// longer than the processor looks ahead.
#include "backend/cpu/simd/gemm_finish.h"

#include "backend/cpu/simd/elements.h"
#include "backend/cpu/simd/gemm_tile.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int kTogether = 2;

/// How results are stored: f32, bf16, or bf16 by the instruction that comes with pairs.
enum class Output { wide, narrow, converted };

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
template <Epilogue kEpilogue, Output kOutput, int kRows>
SING_INLINE void finish_block(const GemmArgs& g, const float* sums, int64_t stride, int64_t at,
                              vf bias, Mask lanes, bool add_old) {
  using Out = Elements<kOutput != Output::wide>;
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
    const int64_t to = at + r * g.c_row;
    if constexpr (kOutput == Output::converted) {
      if (g.slope != nullptr) store_narrow(static_cast<uint16_t*>(g.slope) + to, slope[r], lanes);
      store_narrow(static_cast<uint16_t*>(g.c) + to, x[r], lanes);
    } else {
      if (g.slope != nullptr) Out::put(g.slope, to, slope[r], lanes);
      Out::put(g.c, to, x[r], lanes);
    }
  }
}

template <Epilogue kEpilogue, Output kOutput>
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
      finish_block<kEpilogue, kOutput, kTogether>(g, sums + i * stride + j, stride,
                                                  c_at + i * g.c_row + j, bias, lanes, add_old);
    for (; i < rows; ++i)
      finish_block<kEpilogue, kOutput, 1>(g, sums + i * stride + j, stride, c_at + i * g.c_row + j,
                                          bias, lanes, add_old);
  }
}

template <Output kOutput>
void by_epilogue(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, int64_t column,
                 int64_t rows, int64_t n, bool add_old) {
  const auto kernel = g.epilogue == Epilogue::relu        ? finish<Epilogue::relu, kOutput>
                      : g.epilogue == Epilogue::gelu      ? finish<Epilogue::gelu, kOutput>
                      : g.epilogue == Epilogue::gelu_tanh ? finish<Epilogue::gelu_tanh, kOutput>
                                                          : finish<Epilogue::none, kOutput>;
  kernel(g, sums, stride, c_at, column, rows, n, add_old);
}

}  // namespace

void finish_sums(const GemmArgs& g, const float* sums, int64_t stride, int64_t c_at, int64_t column,
                 int64_t rows, int64_t n, bool add_old) {
  const auto kernel = g.c_dtype != DType::bf16 ? by_epilogue<Output::wide>
                      : multiplies_pairs()     ? by_epilogue<Output::converted>
                                               : by_epilogue<Output::narrow>;
  kernel(g, sums, stride, c_at, column, rows, n, add_old);
}

}  // namespace sing::kernels::SING_SIMD
