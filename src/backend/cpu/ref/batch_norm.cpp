// Sums are taken per chunk of the outer dimension and added in the order of the chunks.
#include "kernels/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(batch_norm_stats, BatchNormStatsArgs)
SING_DEFINE_SLOT(batch_norm_inverse_std, BatchNormInverseStdArgs)
SING_DEFINE_SLOT(batch_norm_apply, BatchNormApplyArgs)
SING_DEFINE_SLOT(batch_norm_bwd_reduce, BatchNormBwdReduceArgs)
SING_DEFINE_SLOT(batch_norm_bwd_apply, BatchNormBwdApplyArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

/// Calls body(offset, channel) for the elements of one chunk.
template <class F>
void for_chunk(const BatchNormGeometry& g, int64_t chunk, F&& body) {
  const int64_t rows = batch_norm_rows(g);
  const int64_t last = std::min(g.outer, (chunk + 1) * rows);
  for (int64_t o = chunk * rows; o < last; ++o)
    for (int64_t c = 0; c < g.channels; ++c)
      for (int64_t i = 0; i < g.inner; ++i) body((o * g.channels + c) * g.inner + i, c);
}

/// Two sums per channel over everything: value(offset, channel, first, second) adds to both.
template <class F>
void sum_channels(const BatchNormGeometry& g, double* partials, double* first, double* second,
                  F&& add) {
  const int64_t chunks = batch_norm_chunks(g);
  parallel_for(chunks, [&](int64_t chunk) {
    double* own = partials + chunk * 2 * g.channels;
    std::fill_n(own, 2 * g.channels, 0.0);
    for_chunk(g, chunk, [&](int64_t at, int64_t c) { add(at, c, own[c], own[g.channels + c]); });
  });
  std::fill_n(first, g.channels, 0.0);
  std::fill_n(second, g.channels, 0.0);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const double* own = partials + chunk * 2 * g.channels;
    for (int64_t c = 0; c < g.channels; ++c) {
      first[c] += own[c];
      second[c] += own[g.channels + c];
    }
  }
}

template <class R>
void update_running(const BatchNormStatsArgs& a, int64_t c, double mean, double unbiased) {
  R& running_mean = static_cast<R*>(a.running_mean)[c];
  R& running_var = static_cast<R*>(a.running_var)[c];
  running_mean = static_cast<R>(running_mean + a.momentum * (mean - running_mean));
  running_var = static_cast<R>(running_var + a.momentum * (unbiased - running_var));
}

template <class T>
void stats(const BatchNormStatsArgs& a) {
  const BatchNormGeometry& g = a.g;
  const T* x = static_cast<const T*>(a.x);
  const double m = static_cast<double>(g.outer * g.inner);
  // inverse_std holds other sums until the end.
  sum_channels(g, a.partials, a.mean, a.inverse_std,
               [&](int64_t at, int64_t, double& sum, double&) { sum += to_value(x[at]); });
  for (int64_t c = 0; c < g.channels; ++c) a.mean[c] /= m;
  const auto square = [&](int64_t at, int64_t c, double& sum, double& squares) {
    const double d = to_value(x[at]) - a.mean[c];
    sum += d;
    squares += d * d;
  };
  parallel_for(batch_norm_chunks(g), [&](int64_t chunk) {
    double* own = a.partials + chunk * 2 * g.channels;
    std::fill_n(own, 2 * g.channels, 0.0);
    for_chunk(g, chunk, [&](int64_t at, int64_t c) { square(at, c, own[c], own[g.channels + c]); });
  });
  for (int64_t c = 0; c < g.channels; ++c) {
    double residual = 0, squares = 0;
    for (int64_t chunk = 0; chunk < batch_norm_chunks(g); ++chunk) {
      residual += a.partials[chunk * 2 * g.channels + c];
      squares += a.partials[(chunk * 2 + 1) * g.channels + c];
    }
    // The mean's own rounding error is taken out again.
    squares = std::max(0.0, squares - residual * residual / m);
    a.mean[c] += residual / m;
    a.inverse_std[c] = 1 / std::sqrt(squares / m + a.eps);
    if (!a.running_mean) continue;
    if (a.running_dtype == DType::f64)
      update_running<double>(a, c, a.mean[c], squares / (m - 1));
    else
      update_running<float>(a, c, a.mean[c], squares / (m - 1));
  }
}

template <class P>
double parameter(const void* values, int64_t c, double absent) {
  return values ? static_cast<double>(to_value(static_cast<const P*>(values)[c])) : absent;
}

template <class T, class P>
void apply(const BatchNormApplyArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  parallel_for(batch_norm_chunks(a.g), [&](int64_t chunk) {
    for_chunk(a.g, chunk, [&](int64_t at, int64_t c) {
      const double xhat = (to_value(x[at]) - a.mean[c]) * a.inverse_std[c];
      y[at] = from_value<T>(xhat * parameter<P>(a.weight, c, 1) + parameter<P>(a.bias, c, 0));
    });
  });
}

template <class T>
void bwd_reduce(const BatchNormBwdReduceArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  const T* grad_y = static_cast<const T*>(a.grad_y);
  sum_channels(a.g, a.partials, a.sum_grad, a.sum_grad_xhat,
               [&](int64_t at, int64_t c, double& sum, double& sum_xhat) {
                 const double g = to_value(grad_y[at]);
                 sum += g;
                 sum_xhat += g * ((to_value(x[at]) - a.mean[c]) * a.inverse_std[c]);
               });
}

template <class T, class P>
void bwd_apply(const BatchNormBwdApplyArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  const T* grad_y = static_cast<const T*>(a.grad_y);
  T* grad_x = static_cast<T*>(a.grad_x);
  const double m = static_cast<double>(a.g.outer * a.g.inner);
  parallel_for(batch_norm_chunks(a.g), [&](int64_t chunk) {
    for_chunk(a.g, chunk, [&](int64_t at, int64_t c) {
      double g = to_value(grad_y[at]);
      if (a.sum_grad) {
        const double xhat = (to_value(x[at]) - a.mean[c]) * a.inverse_std[c];
        g -= (a.sum_grad[c] + xhat * a.sum_grad_xhat[c]) / m;
      }
      grad_x[at] = from_value<T>(g * a.inverse_std[c] * parameter<P>(a.weight, c, 1));
    });
  });
}

void stats_reference(const BatchNormStatsArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { stats<decltype(t)>(a); });
}
void inverse_std_reference(const BatchNormInverseStdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    const auto* var = static_cast<const decltype(t)*>(a.var);
    for (int64_t c = 0; c < a.channels; ++c)
      a.inverse_std[c] = 1 / std::sqrt(static_cast<double>(to_value(var[c])) + a.eps);
  });
}
void apply_reference(const BatchNormApplyArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    cpu::dispatch_floating(a.param_dtype, [&](auto p) { apply<decltype(t), decltype(p)>(a); });
  });
}
void bwd_reduce_reference(const BatchNormBwdReduceArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { bwd_reduce<decltype(t)>(a); });
}
void bwd_apply_reference(const BatchNormBwdApplyArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    cpu::dispatch_floating(a.param_dtype, [&](auto p) { bwd_apply<decltype(t), decltype(p)>(a); });
  });
}

SING_REFERENCE_KERNEL(batch_norm_stats, stats_reference)
SING_REFERENCE_KERNEL(batch_norm_inverse_std, inverse_std_reference)
SING_REFERENCE_KERNEL(batch_norm_apply, apply_reference)
SING_REFERENCE_KERNEL(batch_norm_bwd_reduce, bwd_reduce_reference)
SING_REFERENCE_KERNEL(batch_norm_bwd_apply, bwd_apply_reference)

}  // namespace
}  // namespace sing::kernels
