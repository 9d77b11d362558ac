#include "kernels/gemm.h"

#include "backend/cpu/ref/activation.h"
#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(gemm, GemmArgs)
SING_DEFINE_SLOT(activation_grad, ActivationGradArgs)

namespace {

using cpu::from_value;
using cpu::sum_t;
using cpu::to_value;

/// act' at an element, from what was kept of it.
template <class T>
sum_t slope_at(Epilogue epilogue, const void* kept, int64_t at) {
  const sum_t k = static_cast<sum_t>(to_value(static_cast<const T*>(kept)[at]));
  return epilogue == Epilogue::relu ? (k > 0 ? 1 : 0) : k;
}

template <class T, class C>
void gemm_rows(const GemmArgs& g) {
  int64_t batches = 1;
  for (int i = 0; i < g.batch_rank; ++i) batches *= g.batch[static_cast<size_t>(i)];
  parallel_for(batches * g.m, [&](int64_t chunk) {
    const int64_t row = chunk % g.m;
    int64_t index = chunk / g.m, a_at = row * g.a_row, b_at = 0, c_at = row * g.c_row;
    for (size_t i = static_cast<size_t>(g.batch_rank); i-- > 0;) {
      const int64_t at = index % g.batch[i];
      index /= g.batch[i];
      a_at += at * g.a_batch[i];
      b_at += at * g.b_batch[i];
      c_at += at * g.c_batch[i];
    }
    const T* a = static_cast<const T*>(g.a) + a_at;
    const T* b = static_cast<const T*>(g.b) + b_at;
    C* c = static_cast<C*>(g.c) + c_at;
    C* slope = g.slope == nullptr ? nullptr : static_cast<C*>(g.slope) + c_at;
    const T* bias = static_cast<const T*>(g.bias);
    for (int64_t j = 0; j < g.n; ++j) {
      sum_t sum = 0;
      for (int64_t p = 0; p < g.k; ++p)
        sum += static_cast<sum_t>(to_value(a[p * g.a_col])) *
               static_cast<sum_t>(to_value(b[p * g.b_row + j * g.b_col]));
      if (g.accumulate) sum += static_cast<sum_t>(to_value(c[j]));
      if (bias != nullptr) sum += static_cast<sum_t>(to_value(bias[j]));
      if (g.kept != nullptr) {
        c[j] = from_value<C>(sum * slope_at<C>(g.epilogue, g.kept, c_at + j));
        continue;
      }
      if (slope != nullptr) slope[j] = from_value<C>(cpu::activation_derivative(g.epilogue, sum));
      c[j] = from_value<C>(cpu::activation(g.epilogue, sum));
    }
  });
}

/// `count` sums of `terms` elements, `step` apart: neighbours of A or C.
template <class T, class B>
void sum_bias_grad(const GemmArgs& g, const void* from, int64_t count, int64_t terms,
                   int64_t step) {
  const T* of = static_cast<const T*>(from);
  B* bias_grad = static_cast<B*>(g.bias_grad);
  parallel_for(count, [&](int64_t i) {
    sum_t sum = 0;
    for (int64_t p = 0; p < terms; ++p) sum += static_cast<sum_t>(to_value(of[i + p * step]));
    if (g.bias_grad_accumulate) sum += static_cast<sum_t>(to_value(bias_grad[i]));
    bias_grad[i] = from_value<B>(sum);
  });
}

void gemm_reference(const GemmArgs& g) {
  cpu::dispatch_floating(g.dtype, [&](auto in) {
    cpu::dispatch_floating(g.c_dtype, [&](auto out) { gemm_rows<decltype(in), decltype(out)>(g); });
  });
  if (g.bias_grad == nullptr) return;
  cpu::dispatch_floating(g.kept != nullptr ? g.c_dtype : g.dtype, [&](auto in) {
    cpu::dispatch_floating(g.bias_grad_dtype, [&](auto out) {
      const auto sum = sum_bias_grad<decltype(in), decltype(out)>;
      if (g.kept != nullptr)
        sum(g, g.c, g.n, g.m, g.c_row);
      else
        sum(g, g.a, g.m, g.k, g.a_col);
    });
  });
}

template <class T, class B>
void activation_grad_columns(const ActivationGradArgs& a) {
  const T* grad = static_cast<const T*>(a.grad);
  T* grad_pre = static_cast<T*>(a.grad_pre);
  B* bias_grad = static_cast<B*>(a.bias_grad);
  // By columns: each sum runs over the rows in order, whatever the number of threads.
  parallel_ranges(a.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      sum_t sum = 0;
      for (int64_t i = 0; i < a.m; ++i) {
        sum_t g = static_cast<sum_t>(to_value(grad[i * a.n + j]));
        if (a.epilogue != Epilogue::none) g *= slope_at<T>(a.epilogue, a.kept, i * a.n + j);
        if (grad_pre != nullptr) grad_pre[i * a.n + j] = from_value<T>(g);
        sum += g;
      }
      if (bias_grad == nullptr) continue;
      if (a.accumulate) sum += static_cast<sum_t>(to_value(bias_grad[j]));
      bias_grad[j] = from_value<B>(sum);
    }
  });
}

void activation_grad_reference(const ActivationGradArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto in) {
    cpu::dispatch_floating(a.bias_grad_dtype, [&](auto out) {
      activation_grad_columns<decltype(in), decltype(out)>(a);
    });
  });
}

SING_REFERENCE_KERNEL(gemm, gemm_reference)
SING_REFERENCE_KERNEL(activation_grad, activation_grad_reference)

}  // namespace
}  // namespace sing::kernels
