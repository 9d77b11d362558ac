// Layer and root-mean-square norms of f32 and bf16 rows, four rows side by side so that their sums
// do not wait for each other. Parameter gradients: partial sums per chunk of rows, then the sum of
// these in the order of the chunks.
#include "kernels/layer_norm.h"

#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/simd.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int kSideBySide = 4;
constexpr int64_t kElementsPerChunk = 1 << 13;

int64_t rows_per_chunk(int64_t cols) {
  const int64_t rows = kElementsPerChunk / (cols > 0 ? cols : 1) / kSideBySide * kSideBySide;
  return rows < 2 * kSideBySide ? 2 * kSideBySide : rows;
}

/// Element access of f32 (kBf16 false) or bf16 rows.
template <bool kBf16>
struct Rows {
  static SING_INLINE vf get(const void* base, int64_t at, Mask lanes) {
    return kBf16 ? load_bf16(static_cast<const uint16_t*>(base) + at, lanes)
                 : load(static_cast<const float*>(base) + at, lanes);
  }
  static SING_INLINE void put(void* base, int64_t at, vf x, Mask lanes) {
    if constexpr (kBf16)
      store_bf16(static_cast<uint16_t*>(base) + at, x, lanes);
    else
      store(static_cast<float*>(base) + at, x, lanes);
  }
  /// x as it would be read again after put.
  static SING_INLINE vf rounded(vf x) {
    if constexpr (!kBf16) return x;
    uint16_t bits[kWidth];
    store_bf16(bits, x);
    return load_bf16(bits);
  }
};

SING_INLINE Mask lanes_at(int64_t j, int64_t cols) {
  return first(cols - j < kWidth ? cols - j : kWidth);
}

template <bool kBf16, int kRows>
void forward_rows(const LayerNormForwardArgs& a, int64_t row) {
  using R = Rows<kBf16>;
  const float n = static_cast<float>(a.cols), eps = static_cast<float>(a.eps);
  const int64_t at = row * a.cols;
  const void* input = a.x;
  if (a.branch != nullptr) {
    for (int64_t j = 0; j < kRows * a.cols; j += kWidth) {
      const Mask lanes = lanes_at(j, kRows * a.cols);
      R::put(a.sum, at + j, R::get(a.x, at + j, lanes) + R::get(a.branch, at + j, lanes), lanes);
    }
    input = a.sum;  // still in the nearest cache
  }
  vf mean[kRows] = {}, rstd[kRows];
  if (a.centred) {
    vf sums[kRows] = {};
    for (int64_t j = 0; j < a.cols; j += kWidth) {
      const Mask lanes = lanes_at(j, a.cols);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sums[r] = sums[r] + R::get(input, at + r * a.cols + j, lanes);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const float m = sum(sums[r]) / n;
      static_cast<float*>(a.mean)[row + r] = m;
      mean[r] = set1(m);
    }
  }
  vf squares[kRows] = {};
  for (int64_t j = 0; j < a.cols; j += kWidth) {
    const Mask lanes = lanes_at(j, a.cols);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const vf d = keep(lanes, R::get(input, at + r * a.cols + j, lanes) - mean[r], vf{});
      squares[r] = fma(d, d, squares[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const float s = 1.0f / __builtin_sqrtf(sum(squares[r]) / n + eps);
    static_cast<float*>(a.rstd)[row + r] = s;
    rstd[r] = set1(s);
  }
  for (int64_t j = 0; j < a.cols; j += kWidth) {
    const Mask lanes = lanes_at(j, a.cols);
    const vf weight = a.weight == nullptr ? set1(1.0f) : R::get(a.weight, j, lanes);
    const vf bias = a.bias == nullptr ? vf{} : R::get(a.bias, j, lanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const vf x = (R::get(input, at + r * a.cols + j, lanes) - mean[r]) * rstd[r];
      R::put(a.y, at + r * a.cols + j, fma(x, weight, bias), lanes);
    }
  }
}

template <bool kBf16>
void forward_all(const LayerNormForwardArgs& a) {
  parallel_ranges(a.rows, rows_per_chunk(a.cols), [&](int64_t begin, int64_t end) {
    int64_t row = begin;
    for (; row + kSideBySide <= end; row += kSideBySide) forward_rows<kBf16, kSideBySide>(a, row);
    for (; row < end; ++row) forward_rows<kBf16, 1>(a, row);
  });
}

bool forward(const LayerNormForwardArgs& a) {
  if (a.dtype != DType::f32 && a.dtype != DType::bf16) return false;
  if (a.dtype == DType::bf16)
    forward_all<true>(a);
  else
    forward_all<false>(a);
  return true;
}

/// `partial`: cols sums of grad * xhat, then cols sums of grad; nullptr when neither is wanted.
template <bool kBf16, int kRows>
void backward_rows(const LayerNormBackwardArgs& a, int64_t row, float* partial) {
  using R = Rows<kBf16>;
  const float n = static_cast<float>(a.cols);
  const int64_t at = row * a.cols;
  vf mean[kRows] = {}, rstd[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if (a.centred) mean[r] = set1(static_cast<const float*>(a.mean)[row + r]);
    rstd[r] = set1(static_cast<const float*>(a.rstd)[row + r]);
  }
  vf sums[kRows] = {}, products[kRows] = {};
  for (int64_t j = 0; j < a.cols; j += kWidth) {
    const Mask lanes = lanes_at(j, a.cols);
    const vf weight = a.weight == nullptr ? set1(1.0f) : R::get(a.weight, j, lanes);
    vf by_weight{}, by_bias{};
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const vf grad = R::get(a.grad, at + r * a.cols + j, lanes);
      const vf x = (R::get(a.x, at + r * a.cols + j, lanes) - mean[r]) * rstd[r];
      const vf g = grad * weight;
      sums[r] = sums[r] + g;
      products[r] = fma(g, x, products[r]);
      by_weight = fma(grad, x, by_weight);
      by_bias = by_bias + grad;
    }
    if (partial != nullptr) {
      store(partial + j, load(partial + j, lanes) + by_weight, lanes);
      store(partial + a.cols + j, load(partial + a.cols + j, lanes) + by_bias, lanes);
    }
  }
  if (a.grad_x == nullptr) return;
  vf mean_g[kRows] = {}, mean_gx[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if (a.centred) mean_g[r] = set1(sum(sums[r]) / n);
    mean_gx[r] = set1(sum(products[r]) / n);
  }
  for (int64_t j = 0; j < a.cols; j += kWidth) {
    const Mask lanes = lanes_at(j, a.cols);
    const vf weight = a.weight == nullptr ? set1(1.0f) : R::get(a.weight, j, lanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const vf g = R::get(a.grad, at + r * a.cols + j, lanes) * weight;
      const vf x = (R::get(a.x, at + r * a.cols + j, lanes) - mean[r]) * rstd[r];
      vf result = fnma(x, mean_gx[r], g - mean_g[r]) * rstd[r];
      // As if it had been written before the sum: the same bits as from two passes.
      if (a.other_grad != nullptr)
        result = R::rounded(result) + R::get(a.other_grad, at + r * a.cols + j, lanes);
      R::put(a.grad_x, at + r * a.cols + j, result, lanes);
    }
  }
}

void add_up(const float* partial, int64_t chunks, int64_t cols, int64_t offset, void* out,
            bool accumulate) {
  float* to = static_cast<float*>(out);
  for (int64_t j = 0; j < cols; j += kWidth) {
    const Mask lanes = lanes_at(j, cols);
    vf total{};
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      total = total + load(partial + 2 * chunk * cols + offset + j, lanes);
    store(to + j, accumulate ? load(to + j, lanes) + total : total, lanes);
  }
}

template <bool kBf16>
void backward_all(const LayerNormBackwardArgs& a) {
  const int64_t grain = rows_per_chunk(a.cols);
  const int64_t chunks = (a.rows + grain - 1) / grain;
  const bool parameters = a.grad_weight != nullptr || a.grad_bias != nullptr;
  const backend::cpu::Scratch scratch(
      parameters ? static_cast<size_t>(2 * chunks * a.cols) * sizeof(float) : 0);
  float* partials = parameters ? static_cast<float*>(scratch.data) : nullptr;
  parallel_for(chunks, [&](int64_t chunk) {
    float* partial = partials == nullptr ? nullptr : partials + 2 * chunk * a.cols;
    if (partial != nullptr)
      __builtin_memset(partial, 0, static_cast<size_t>(2 * a.cols) * sizeof(float));
    int64_t row = chunk * grain;
    const int64_t end = row + grain < a.rows ? row + grain : a.rows;
    for (; row + kSideBySide <= end; row += kSideBySide)
      backward_rows<kBf16, kSideBySide>(a, row, partial);
    for (; row < end; ++row) backward_rows<kBf16, 1>(a, row, partial);
  });
  if (a.grad_weight != nullptr)
    add_up(partials, chunks, a.cols, 0, a.grad_weight, a.accumulate_weight);
  if (a.grad_bias != nullptr)
    add_up(partials, chunks, a.cols, a.cols, a.grad_bias, a.accumulate_bias);
}

bool backward(const LayerNormBackwardArgs& a) {
  if (a.dtype != DType::f32 && a.dtype != DType::bf16) return false;
  if (a.grad_weight != nullptr && a.grad_weight_dtype != DType::f32) return false;
  if (a.grad_bias != nullptr && a.grad_bias_dtype != DType::f32) return false;
  if (a.dtype == DType::bf16)
    backward_all<true>(a);
  else
    backward_all<false>(a);
  return true;
}

SING_SIMD_KERNEL(layer_norm_forward, forward, "own")
SING_SIMD_KERNEL(layer_norm_backward, backward, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
