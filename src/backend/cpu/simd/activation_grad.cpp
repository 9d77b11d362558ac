// Derivative of a fused activation and the column sums that are the bias gradient, in one pass.
#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/simd.h"
#include "kernels/gemm.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kRowsPerChunk = 64;

SING_INLINE vf load_as(const void* base, bool bf16, int64_t at, Mask lanes) {
  return bf16 ? load_bf16(static_cast<const uint16_t*>(base) + at, lanes)
              : load(static_cast<const float*>(base) + at, lanes);
}

enum class Factor { one, sign, slope };

/// Rows begin..end of kVectors vectors of columns from j on; `last` masks the last vector.
template <Factor kFactor, bool kBf16, int kVectors>
SING_INLINE void columns(const ActivationGradArgs& a, int64_t begin, int64_t end, int64_t j,
                         Mask last, float* sums) {
  vf sum[kVectors] = {};
  for (int64_t i = begin; i < end; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = i * a.n + j + v * kWidth;
      const Mask lanes = v + 1 < kVectors ? first(kWidth) : last;
      vf g = load_as(a.grad, kBf16, at, lanes);
      if constexpr (kFactor == Factor::sign)
        g = (load_as(a.kept, kBf16, at, lanes) > 0.0f) ? g : vf{};
      if constexpr (kFactor == Factor::slope) g = g * load_as(a.kept, kBf16, at, lanes);
      if (a.grad_pre != nullptr) {
        if constexpr (kBf16)
          store_bf16(static_cast<uint16_t*>(a.grad_pre) + at, g, lanes);
        else
          store(static_cast<float*>(a.grad_pre) + at, g, lanes);
      }
      sum[v] = sum[v] + g;
    }
  }
  if (sums == nullptr) return;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v)
    store(sums + j + v * kWidth, sum[v], v + 1 < kVectors ? first(kWidth) : last);
}

/// Eight vectors at a time: one alone would touch a line per row, far apart.
template <Factor kFactor, bool kBf16>
void rows(const ActivationGradArgs& a, int64_t begin, int64_t end, float* sums) {
  constexpr int kTogether = 8;
  int64_t j = 0;
  for (; j + kTogether * kWidth <= a.n; j += kTogether * kWidth)
    columns<kFactor, kBf16, kTogether>(a, begin, end, j, first(kWidth), sums);
  for (; j < a.n; j += kWidth)
    columns<kFactor, kBf16, 1>(a, begin, end, j, first(a.n - j < kWidth ? a.n - j : kWidth), sums);
}

template <bool kBf16>
void rows_of(const ActivationGradArgs& a, int64_t begin, int64_t end, float* sums) {
  if (a.epilogue == Epilogue::none)
    rows<Factor::one, kBf16>(a, begin, end, sums);
  else if (a.epilogue == Epilogue::relu)
    rows<Factor::sign, kBf16>(a, begin, end, sums);
  else
    rows<Factor::slope, kBf16>(a, begin, end, sums);
}

bool activation_grad_own(const ActivationGradArgs& a) {
  const bool bf16 = a.dtype == DType::bf16;
  if (!bf16 && a.dtype != DType::f32) return false;
  if (a.bias_grad != nullptr && a.bias_grad_dtype != DType::f32) return false;
  if (a.n == 0) return true;
  // First partial sums per chunk of rows, then the sum of these in the order of the chunks.
  const int64_t chunks = (a.m + kRowsPerChunk - 1) / kRowsPerChunk;
  const backend::cpu::Scratch scratch(static_cast<size_t>(chunks * a.n) * sizeof(float));
  float* partial = a.bias_grad == nullptr ? nullptr : static_cast<float*>(scratch.data);
  parallel_for(chunks, [&](int64_t chunk) {
    const int64_t begin = chunk * kRowsPerChunk;
    const int64_t end = begin + kRowsPerChunk < a.m ? begin + kRowsPerChunk : a.m;
    float* sums = partial == nullptr ? nullptr : partial + chunk * a.n;
    if (bf16)
      rows_of<true>(a, begin, end, sums);
    else
      rows_of<false>(a, begin, end, sums);
  });
  if (partial == nullptr) return true;
  float* out = static_cast<float*>(a.bias_grad);
  for (int64_t j = 0; j < a.n; j += kWidth) {
    const Mask lanes = first(a.n - j < kWidth ? a.n - j : kWidth);
    vf sum{};
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      sum = sum + load(partial + chunk * a.n + j, lanes);
    store(out + j, a.accumulate ? load(out + j, lanes) + sum : sum, lanes);
  }
  return true;
}

SING_SIMD_KERNEL(activation_grad, activation_grad_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
