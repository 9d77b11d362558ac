// Softmax cross entropy of f32 and bf16 rows: maximum, then one sum of exponentials (f32 within
// kFlush scores, f64 beyond).
#include "backend/cpu/check_index.h"
#include "backend/cpu/simd/elements.h"
#include "kernels/loss.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kFlush = 64 * kWidth;

int64_t rows_per_chunk(int64_t classes) {
  return classes >= 1 << 14 ? 1 : (1 << 14) / classes;
}
SING_INLINE Mask lanes_at(int64_t j, int64_t end) {
  return first(end - j < kWidth ? end - j : kWidth);
}
SING_INLINE int64_t label_at(const void* targets, DType dtype, int64_t row) {
  return dtype == DType::i64 ? static_cast<const int64_t*>(targets)[row]
                             : static_cast<const int32_t*>(targets)[row];
}

template <bool kBf16>
void forward_row(const CrossEntropyFwdArgs& a, int64_t row, int64_t label) {
  using E = Elements<kBf16>;
  const int64_t begin = row * a.classes, end = begin + a.classes;
  vf most = set1(-__builtin_inff());
  for (int64_t j = begin; j < end; j += kWidth) {
    const Mask lanes = lanes_at(j, end);
    most = max(most, keep(lanes, E::get(a.logits, j, lanes), most));
  }
  const float row_max = largest(most);
  double sum = 0, shifts = 0;
  for (int64_t block = begin; block < end; block += kFlush) {
    const int64_t last = block + kFlush < end ? block + kFlush : end;
    vf exps{}, shifted{};
    for (int64_t j = block; j < last; j += kWidth) {
      const Mask lanes = lanes_at(j, last);
      const vf d = E::get(a.logits, j, lanes) - row_max;
      exps = exps + keep(lanes, exp(d), vf{});
      shifted = shifted + keep(lanes, d, vf{});
    }
    sum += sum_wide(exps);
    shifts += sum_wide(shifted);
  }
  const double log_sum = __builtin_log(sum);
  const vf picked = E::get(a.logits, begin + label, first(1));
  const double nll = log_sum - (static_cast<double>(picked[0]) - static_cast<double>(row_max));
  a.row_max[row] = static_cast<double>(row_max);
  a.row_scale[row] = 1 / sum;
  a.row_loss[row] = a.smoothing == 0
                        ? nll
                        : (1 - a.smoothing) * nll +
                              a.smoothing * (log_sum - shifts / static_cast<double>(a.classes));
}

bool forward(const CrossEntropyFwdArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || a.classes == 0) return false;
  parallel_ranges(a.rows, rows_per_chunk(a.classes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t label = label_at(a.targets, a.target_dtype, row);
      a.row_loss[row] = a.row_max[row] = a.row_scale[row] = 0;
      if (label == a.ignore_index) continue;
      if (label < 0 || label >= a.classes)
        cpu::index_outside("label", label, a.classes, "cross_entropy", row);
      if (a.dtype == DType::bf16)
        forward_row<true>(a, row, label);
      else
        forward_row<false>(a, row, label);
    }
  });
  int64_t count = 0;
  double sum = 0;
  float* loss = static_cast<float*>(a.loss);
  for (int64_t row = 0; row < a.rows; ++row) {
    if (a.reduction == Reduction::none) loss[row] = static_cast<float>(a.row_loss[row]);
    if (label_at(a.targets, a.target_dtype, row) == a.ignore_index) continue;
    ++count;
    sum += a.row_loss[row];
  }
  *a.count = static_cast<double>(count);
  if (a.reduction == Reduction::sum) *loss = static_cast<float>(sum);
  if (a.reduction == Reduction::mean) *loss = static_cast<float>(sum / *a.count);
  return true;
}

template <bool kBf16>
void backward_row(const CrossEntropyBwdArgs& a, int64_t row, int64_t label) {
  using E = Elements<kBf16>;
  const int64_t begin = row * a.classes, end = begin + a.classes;
  if (label == a.ignore_index) {
    for (int64_t j = begin; j < end; j += kWidth) E::put(a.grad_logits, j, vf{}, lanes_at(j, end));
    return;
  }
  const float* grad_loss = static_cast<const float*>(a.grad_loss);
  double g = static_cast<double>(grad_loss[a.reduction == Reduction::none ? row : 0]);
  if (a.reduction == Reduction::mean) g /= *a.count;
  const vf row_max = set1(static_cast<float>(a.row_max[row]));
  const vf scale = set1(static_cast<float>(g * a.row_scale[row]));
  const double spread = a.smoothing / static_cast<double>(a.classes);
  const vf constant = set1(static_cast<float>(-g * spread));
  for (int64_t j = begin; j < end; j += kWidth) {
    const Mask lanes = lanes_at(j, end);
    const vf p = exp(E::get(a.logits, j, lanes) - row_max);
    E::put(a.grad_logits, j, fma(p, scale, constant), lanes);
  }
  // The true class on its own, so that p - 1 is rounded once.
  const vf p = exp(E::get(a.logits, begin + label, first(1)) - row_max);
  const double probability = static_cast<double>(p[0]) * a.row_scale[row];
  const float own = static_cast<float>(g * (probability - (1 - a.smoothing) - spread));
  E::put(a.grad_logits, begin + label, set1(own), first(1));
}

bool backward(const CrossEntropyBwdArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || a.classes == 0) return false;
  parallel_ranges(a.rows, rows_per_chunk(a.classes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t label = label_at(a.targets, a.target_dtype, row);
      if (a.dtype == DType::bf16)
        backward_row<true>(a, row, label);
      else
        backward_row<false>(a, row, label);
    }
  });
  return true;
}

SING_SIMD_KERNEL(cross_entropy_fwd, forward, "cross_entropy")
SING_SIMD_KERNEL(cross_entropy_bwd, backward, "cross_entropy")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
