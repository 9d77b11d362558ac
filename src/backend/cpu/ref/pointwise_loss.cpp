#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "kernels/loss.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(pointwise_loss_fwd, PointwiseLossFwdArgs)
SING_DEFINE_SLOT(pointwise_loss_bwd, PointwiseLossBwdArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

double value(PointwiseLoss kind, double x, double t) {
  switch (kind) {
    case PointwiseLoss::squared:
      return (x - t) * (x - t);
    case PointwiseLoss::absolute:
      return std::abs(x - t);
    case PointwiseLoss::bce:
      return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
  }
  return 0;
}

double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/// Derivatives with respect to x and to t.
double by_prediction(PointwiseLoss kind, double x, double t) {
  switch (kind) {
    case PointwiseLoss::squared:
      return 2 * (x - t);
    case PointwiseLoss::absolute:
      return x > t ? 1 : x < t ? -1 : x - t;  // 0 at equality, NaN stays
    case PointwiseLoss::bce:
      return sigmoid(x) - t;
  }
  return 0;
}
double by_target(PointwiseLoss kind, double x, double t) {
  return kind == PointwiseLoss::bce ? -x : -by_prediction(kind, x, t);
}

template <class T, class L>
void forward(const PointwiseLossFwdArgs& a) {
  const T* x = static_cast<const T*>(a.prediction);
  const T* t = static_cast<const T*>(a.target);
  L* loss = static_cast<L*>(a.loss);
  const bool each = a.reduction == Reduction::none;
  parallel_ranges(a.n, kLossChunk, [&](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      const double l = value(a.kind, to_value(x[i]), to_value(t[i]));
      if (each) loss[i] = from_value<L>(l);
      sum += l;
    }
    a.partials[begin / kLossChunk] = sum;
  });
  if (each) return;
  double sum = 0;
  for (int64_t chunk = 0; chunk * kLossChunk < a.n; ++chunk) sum += a.partials[chunk];
  *loss = from_value<L>(a.reduction == Reduction::sum ? sum : sum / static_cast<double>(a.n));
}

template <class T, class L>
void backward(const PointwiseLossBwdArgs& a) {
  const T* x = static_cast<const T*>(a.prediction);
  const T* t = static_cast<const T*>(a.target);
  const L* grad = static_cast<const L*>(a.grad_loss);
  T* grad_x = static_cast<T*>(a.grad_prediction);
  T* grad_t = static_cast<T*>(a.grad_target);
  const bool each = a.reduction == Reduction::none;
  const double divisor = a.reduction == Reduction::mean ? static_cast<double>(a.n) : 1;
  parallel_ranges(a.n, kLossChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double g = to_value(grad[each ? i : 0]) / divisor;
      const double xi = to_value(x[i]), ti = to_value(t[i]);
      if (grad_x) grad_x[i] = from_value<T>(g * by_prediction(a.kind, xi, ti));
      if (grad_t) grad_t[i] = from_value<T>(g * by_target(a.kind, xi, ti));
    }
  });
}

template <class F>
void dispatch(DType dtype, F&& f) {
  cpu::dispatch_floating(dtype, [&](auto t) {
    using T = decltype(t);
    f(T{}, std::conditional_t<std::is_same_v<T, double>, double, float>{});
  });
}

void forward_reference(const PointwiseLossFwdArgs& a) {
  dispatch(a.dtype, [&](auto t, auto l) { forward<decltype(t), decltype(l)>(a); });
}
void backward_reference(const PointwiseLossBwdArgs& a) {
  dispatch(a.dtype, [&](auto t, auto l) { backward<decltype(t), decltype(l)>(a); });
}

SING_REFERENCE_KERNEL(pointwise_loss_fwd, forward_reference)
SING_REFERENCE_KERNEL(pointwise_loss_bwd, backward_reference)

}  // namespace
}  // namespace sing::kernels
