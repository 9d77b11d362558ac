// Element-wise losses of f32 and bf16 with a mean or a sum; f32 sums span at most kFlush vectors
// and go on in f64.
#include "backend/cpu/simd/elements.h"
#include "kernels/loss.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kFlush = 64 * kWidth;

template <PointwiseLoss kKind>
SING_INLINE vf value(vf x, vf t) {
  if constexpr (kKind == PointwiseLoss::squared) return (x - t) * (x - t);
  if constexpr (kKind == PointwiseLoss::absolute) return abs(x - t);
  const vf positive = (x > 0.0f) ? x : (x <= 0.0f) ? vf{} : x;  // NaN stays
  return positive - x * t + log(1.0f + exp(-abs(x)));
}

template <PointwiseLoss kKind>
SING_INLINE vf by_prediction(vf x, vf t) {
  if constexpr (kKind == PointwiseLoss::squared) return 2.0f * (x - t);
  if constexpr (kKind == PointwiseLoss::absolute)
    return (x > t) ? set1(1.0f) : (x < t) ? set1(-1.0f) : x - t;
  return sigmoid(x) - t;
}

SING_INLINE Mask lanes_at(int64_t i, int64_t end) {
  return first(end - i < kWidth ? end - i : kWidth);
}

template <PointwiseLoss kKind, bool kBf16>
double sum_range(const PointwiseLossFwdArgs& a, int64_t begin, int64_t end) {
  using E = Elements<kBf16>;
  double total = 0;
  for (int64_t block = begin; block < end; block += kFlush) {
    const int64_t last = block + kFlush < end ? block + kFlush : end;
    vf sum{};
    for (int64_t i = block; i < last; i += kWidth) {
      const Mask lanes = lanes_at(i, last);
      const vf l = value<kKind>(E::get(a.prediction, i, lanes), E::get(a.target, i, lanes));
      sum = sum + keep(lanes, l, vf{});
    }
    total += sum_wide(sum);
  }
  return total;
}

template <PointwiseLoss kKind>
void forward_kind(const PointwiseLossFwdArgs& a) {
  parallel_ranges(a.n, kLossChunk, [&](int64_t begin, int64_t end) {
    a.partials[begin / kLossChunk] = a.dtype == DType::bf16
                                         ? sum_range<kKind, true>(a, begin, end)
                                         : sum_range<kKind, false>(a, begin, end);
  });
}

bool forward(const PointwiseLossFwdArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || a.reduction == Reduction::none) return false;
  if (a.kind == PointwiseLoss::squared)
    forward_kind<PointwiseLoss::squared>(a);
  else if (a.kind == PointwiseLoss::absolute)
    forward_kind<PointwiseLoss::absolute>(a);
  else
    forward_kind<PointwiseLoss::bce>(a);
  double sum = 0;
  for (int64_t chunk = 0; chunk * kLossChunk < a.n; ++chunk) sum += a.partials[chunk];
  *static_cast<float*>(a.loss) =
      static_cast<float>(a.reduction == Reduction::sum ? sum : sum / static_cast<double>(a.n));
  return true;
}

template <PointwiseLoss kKind, bool kBf16>
void backward_range(const PointwiseLossBwdArgs& a, float scale, int64_t begin, int64_t end) {
  using E = Elements<kBf16>;
  const vf g = set1(scale);
  for (int64_t i = begin; i < end; i += kWidth) {
    const Mask lanes = lanes_at(i, end);
    const vf x = E::get(a.prediction, i, lanes);
    const vf by_x = by_prediction<kKind>(x, E::get(a.target, i, lanes));
    if (a.grad_prediction) E::put(a.grad_prediction, i, g * by_x, lanes);
    if (a.grad_target)
      E::put(a.grad_target, i, g * (kKind == PointwiseLoss::bce ? -x : -by_x), lanes);
  }
}

template <PointwiseLoss kKind>
void backward_kind(const PointwiseLossBwdArgs& a) {
  const double g = static_cast<double>(*static_cast<const float*>(a.grad_loss));
  const float scale =
      static_cast<float>(a.reduction == Reduction::mean ? g / static_cast<double>(a.n) : g);
  parallel_ranges(a.n, kLossChunk, [&](int64_t begin, int64_t end) {
    if (a.dtype == DType::bf16)
      backward_range<kKind, true>(a, scale, begin, end);
    else
      backward_range<kKind, false>(a, scale, begin, end);
  });
}

bool backward(const PointwiseLossBwdArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || a.reduction == Reduction::none) return false;
  if (a.kind == PointwiseLoss::squared)
    backward_kind<PointwiseLoss::squared>(a);
  else if (a.kind == PointwiseLoss::absolute)
    backward_kind<PointwiseLoss::absolute>(a);
  else
    backward_kind<PointwiseLoss::bce>(a);
  return true;
}

SING_SIMD_KERNEL(pointwise_loss_fwd, forward, "pointwise_loss")
SING_SIMD_KERNEL(pointwise_loss_bwd, backward, "pointwise_loss")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
