#include "kernels/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(layer_norm_forward, LayerNormForwardArgs)
SING_DEFINE_SLOT(layer_norm_backward, LayerNormBackwardArgs)

namespace {

using cpu::from_value;
using cpu::sum_t;

template <class T>
sum_t wide(T x) {
  return static_cast<sum_t>(cpu::to_value(x));
}

template <class T, class S>
void forward_rows(const LayerNormForwardArgs& a) {
  const T* weight = static_cast<const T*>(a.weight);
  const T* bias = static_cast<const T*>(a.bias);
  parallel_for(a.rows, [&](int64_t row) {
    const T* x = static_cast<const T*>(a.x) + row * a.cols;
    T* y = static_cast<T*>(a.y) + row * a.cols;
    if (a.branch != nullptr) {
      const T* branch = static_cast<const T*>(a.branch) + row * a.cols;
      T* sum = static_cast<T*>(a.sum) + row * a.cols;
      for (int64_t j = 0; j < a.cols; ++j)
        sum[j] = from_value<T>(cpu::to_value(x[j]) + cpu::to_value(branch[j]));
      x = sum;
    }
    const sum_t n = static_cast<sum_t>(a.cols);
    sum_t mean = 0, square = 0;
    if (a.centred) {
      for (int64_t j = 0; j < a.cols; ++j) mean += wide(x[j]);
      mean /= n;
      static_cast<S*>(a.mean)[row] = from_value<S>(mean);
    }
    for (int64_t j = 0; j < a.cols; ++j) square += (wide(x[j]) - mean) * (wide(x[j]) - mean);
    const sum_t rstd = 1 / std::sqrt(square / n + a.eps);
    static_cast<S*>(a.rstd)[row] = from_value<S>(rstd);
    for (int64_t j = 0; j < a.cols; ++j) {
      sum_t v = (wide(x[j]) - mean) * rstd;
      if (weight != nullptr) v *= wide(weight[j]);
      if (bias != nullptr) v += wide(bias[j]);
      y[j] = from_value<T>(v);
    }
  });
}

template <class T, class S>
struct Backward {
  const LayerNormBackwardArgs& a;
  const T* weight = static_cast<const T*>(a.weight);

  sum_t grad(int64_t row, int64_t j) const {
    return wide(static_cast<const T*>(a.grad)[row * a.cols + j]);
  }
  sum_t xhat(int64_t row, int64_t j) const {
    const sum_t mean = a.centred ? wide(static_cast<const S*>(a.mean)[row]) : 0;
    return (wide(static_cast<const T*>(a.x)[row * a.cols + j]) - mean) *
           wide(static_cast<const S*>(a.rstd)[row]);
  }

  void row(int64_t row) const {
    sum_t sum = 0, product = 0;
    for (int64_t j = 0; j < a.cols; ++j) {
      const sum_t g = grad(row, j) * (weight == nullptr ? 1 : wide(weight[j]));
      sum += g;
      product += g * xhat(row, j);
    }
    const sum_t n = static_cast<sum_t>(a.cols);
    if (!a.centred) sum = 0;
    for (int64_t j = 0; j < a.cols; ++j) {
      const sum_t g = grad(row, j) * (weight == nullptr ? 1 : wide(weight[j]));
      const sum_t d = g - sum / n - xhat(row, j) * product / n;
      T& to = static_cast<T*>(a.grad_x)[row * a.cols + j];
      to = from_value<T>(d * wide(static_cast<const S*>(a.rstd)[row]));
      if (a.other_grad != nullptr)
        to = from_value<T>(cpu::to_value(to) +
                           cpu::to_value(static_cast<const T*>(a.other_grad)[row * a.cols + j]));
    }
  }

  /// Sum over all rows, in order, of column j.
  template <class F>
  void column(void* out, DType dtype, bool accumulate, int64_t j, F term) const {
    sum_t sum = 0;
    for (int64_t i = 0; i < a.rows; ++i) sum += term(i, j);
    cpu::dispatch_floating(dtype, [&](auto tag) {
      using G = decltype(tag);
      G& to = static_cast<G*>(out)[j];
      to = from_value<G>(accumulate ? wide(to) + sum : sum);
    });
  }
};

template <class T, class S>
void backward_all(const LayerNormBackwardArgs& a) {
  const Backward<T, S> work{a};
  if (a.grad_x != nullptr) parallel_for(a.rows, [&](int64_t row) { work.row(row); });
  parallel_for(a.cols, [&](int64_t j) {
    if (a.grad_weight != nullptr)
      work.column(a.grad_weight, a.grad_weight_dtype, a.accumulate_weight, j,
                  [&](int64_t i, int64_t c) { return work.grad(i, c) * work.xhat(i, c); });
    if (a.grad_bias != nullptr)
      work.column(a.grad_bias, a.grad_bias_dtype, a.accumulate_bias, j,
                  [&](int64_t i, int64_t c) { return work.grad(i, c); });
  });
}

/// Statistics are f64 for f64 and f32 for every other dtype.
template <class T>
using stat_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

void layer_norm_forward_reference(const LayerNormForwardArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    forward_rows<T, stat_t<T>>(a);
  });
}

void layer_norm_backward_reference(const LayerNormBackwardArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    backward_all<T, stat_t<T>>(a);
  });
}

SING_REFERENCE_KERNEL(layer_norm_forward, layer_norm_forward_reference)
SING_REFERENCE_KERNEL(layer_norm_backward, layer_norm_backward_reference)

}  // namespace
}  // namespace sing::kernels
