#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/check_index.h"
#include "backend/cpu/ref/dispatch.h"
#include "kernels/loss.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(cross_entropy_fwd, CrossEntropyFwdArgs)
SING_DEFINE_SLOT(cross_entropy_bwd, CrossEntropyBwdArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

int64_t rows_per_chunk(int64_t classes) {
  return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(classes, 1));
}

/// Loss of one row; sets the row's maximum and 1 / sum exp(x - maximum).
template <class T>
double row_forward(const T* x, int64_t classes, int64_t label, double smoothing, double& row_max,
                   double& row_scale) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < classes; ++j) largest = std::max<double>(largest, to_value(x[j]));
  double sum = 0, total = 0;  // total: of lse - x_j, without the lse
  for (int64_t j = 0; j < classes; ++j) {
    const double shifted = to_value(x[j]) - largest;
    sum += std::exp(shifted);
    total -= shifted;
  }
  row_max = largest;
  row_scale = 1 / sum;
  const double log_sum = std::log(sum);
  const double nll = log_sum - (to_value(x[label]) - largest);
  if (smoothing == 0) return nll;
  const double uniform = log_sum + total / static_cast<double>(classes);
  return (1 - smoothing) * nll + smoothing * uniform;
}

template <class T, class I>
void forward_rows(const CrossEntropyFwdArgs& a) {
  const T* logits = static_cast<const T*>(a.logits);
  const I* targets = static_cast<const I*>(a.targets);
  parallel_ranges(a.rows, rows_per_chunk(a.classes), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t label = targets[r];
      a.row_loss[r] = a.row_max[r] = a.row_scale[r] = 0;
      if (label == a.ignore_index) continue;
      if (label < 0 || label >= a.classes)
        cpu::index_outside("label", label, a.classes, "cross_entropy", r);
      a.row_loss[r] = row_forward(logits + r * a.classes, a.classes, label, a.smoothing,
                                  a.row_max[r], a.row_scale[r]);
    }
  });
  int64_t count = 0;
  double sum = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    if (targets[r] == a.ignore_index) continue;
    ++count;
    sum += a.row_loss[r];
  }
  *a.count = static_cast<double>(count);
  cpu::dispatch_floating(a.loss_dtype, [&](auto tag) {
    using L = decltype(tag);
    L* loss = static_cast<L*>(a.loss);
    if (a.reduction == Reduction::none)
      for (int64_t r = 0; r < a.rows; ++r) loss[r] = from_value<L>(a.row_loss[r]);
    else
      *loss = from_value<L>(a.reduction == Reduction::sum ? sum : sum / *a.count);
  });
}

template <class T, class I, class L>
void backward_rows(const CrossEntropyBwdArgs& a) {
  const T* logits = static_cast<const T*>(a.logits);
  const I* targets = static_cast<const I*>(a.targets);
  const L* grad_loss = static_cast<const L*>(a.grad_loss);
  T* grad = static_cast<T*>(a.grad_logits);
  const double spread = a.smoothing / static_cast<double>(a.classes);
  parallel_ranges(a.rows, rows_per_chunk(a.classes), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = logits + r * a.classes;
      T* out = grad + r * a.classes;
      const int64_t label = targets[r];
      if (label == a.ignore_index) {
        std::fill_n(out, a.classes, T{});
        continue;
      }
      double g = to_value(grad_loss[a.reduction == Reduction::none ? r : 0]);
      if (a.reduction == Reduction::mean) g /= *a.count;
      for (int64_t j = 0; j < a.classes; ++j) {
        const double p = std::exp(to_value(x[j]) - a.row_max[r]) * a.row_scale[r];
        const double wanted = spread + (j == label ? 1 - a.smoothing : 0);
        out[j] = from_value<T>(g * (p - wanted));
      }
    }
  });
}

void forward_reference(const CrossEntropyFwdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    cpu::dispatch_index(a.target_dtype, [&](auto i) { forward_rows<decltype(t), decltype(i)>(a); });
  });
}

void backward_reference(const CrossEntropyBwdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    using T = decltype(t);
    using L = std::conditional_t<std::is_same_v<T, double>, double, float>;
    cpu::dispatch_index(a.target_dtype, [&](auto i) { backward_rows<T, decltype(i), L>(a); });
  });
}

SING_REFERENCE_KERNEL(cross_entropy_fwd, forward_reference)
SING_REFERENCE_KERNEL(cross_entropy_bwd, backward_reference)

}  // namespace
}  // namespace sing::kernels
