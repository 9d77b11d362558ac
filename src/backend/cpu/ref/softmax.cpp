#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "kernels/reduce.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(softmax_fwd, SoftmaxArgs)
SING_DEFINE_SLOT(softmax_bwd, SoftmaxBackwardArgs)

namespace {

using cpu::from_value;

/// Calls body(offset of the first element) for every line along the middle dimension.
template <class Args, class Body>
void for_each_line(const Args& a, Body body) {
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(a.n, 1));
  parallel_ranges(a.outer * a.inner, grain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line)
      body(line / a.inner * a.n * a.inner + line % a.inner);
  });
}

template <class T>
double value(const T* p, int64_t i) {
  return static_cast<double>(cpu::to_value(p[i]));
}

void softmax_forward_reference(const SoftmaxArgs& a) {
  if (a.n == 0) return;
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = static_cast<T*>(a.y);
    const T* x = static_cast<const T*>(a.x);
    for_each_line(a, [&](int64_t base) {
      double largest = value(x, base);
      for (int64_t i = 1; i < a.n; ++i) largest = std::max(largest, value(x, base + i * a.inner));
      double sum = 0;
      for (int64_t i = 0; i < a.n; ++i) sum += std::exp(value(x, base + i * a.inner) - largest);
      const double log_sum = std::log(sum);
      for (int64_t i = 0; i < a.n; ++i) {
        const int64_t at = base + i * a.inner;
        const double z = value(x, at) - largest;
        y[at] = from_value<T>(a.log ? z - log_sum : std::exp(z) / sum);
      }
    });
  });
}

void softmax_backward_reference(const SoftmaxBackwardArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* dx = static_cast<T*>(a.dx);
    const T *g = static_cast<const T*>(a.grad), *y = static_cast<const T*>(a.y);
    for_each_line(a, [&](int64_t base) {
      double sum = 0;
      for (int64_t i = 0; i < a.n; ++i) {
        const int64_t at = base + i * a.inner;
        sum += a.log ? value(g, at) : value(g, at) * value(y, at);
      }
      for (int64_t i = 0; i < a.n; ++i) {
        const int64_t at = base + i * a.inner;
        dx[at] = from_value<T>(a.log ? value(g, at) - std::exp(value(y, at)) * sum
                                     : value(y, at) * (value(g, at) - sum));
      }
    });
  });
}

SING_REFERENCE_KERNEL(softmax_fwd, softmax_forward_reference)
SING_REFERENCE_KERNEL(softmax_bwd, softmax_backward_reference)

}  // namespace
}  // namespace sing::kernels
