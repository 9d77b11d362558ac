#include "kernels/pool.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(pool2d_fwd, Pool2dFwdArgs)
SING_DEFINE_SLOT(pool2d_bwd, Pool2dBwdArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

/// What lies inside the image of the window of output position `at` along one side.
struct Window {
  int64_t start, first, last;  // places first..last-1 of a window that begins at start
  int64_t count() const { return last - first; }
};
Window window(int64_t at, int64_t kernel, int64_t stride, int64_t pad, int64_t size) {
  const int64_t start = at * stride - pad;
  return {start, std::max<int64_t>(0, -start), std::min(kernel, size - start)};
}

/// Output positions first..last-1 whose windows hold input position `at`.
struct Covering {
  int64_t first, last;
};
Covering covering(int64_t at, int64_t kernel, int64_t stride, int64_t pad, int64_t size) {
  const int64_t reach = at + pad - kernel + 1;  // the earliest window start, times stride
  return {reach <= 0 ? 0 : (reach - 1) / stride + 1, std::min(size, (at + pad) / stride + 1)};
}

constexpr double kBlur[3] = {0.25, 0.5, 0.25};

double divisor(const Pool2dGeometry& g, const Window& h, const Window& w) {
  return static_cast<double>(g.count_include_pad ? g.kernel_h * g.kernel_w : h.count() * w.count());
}

template <class T>
void forward(const Pool2dFwdArgs& a) {
  const Pool2dGeometry& g = a.g;
  const auto &xs = g.x_strides, &ys = g.y_strides;
  parallel_for(g.n * g.out_h, [&](int64_t row) {
    const int64_t n = row / g.out_h, oh = row % g.out_h;
    const Window wh = window(oh, g.kernel_h, g.stride_h, g.pad_h, g.in_h);
    for (int64_t ow = 0; ow < g.out_w; ++ow) {
      const Window ww = window(ow, g.kernel_w, g.stride_w, g.pad_w, g.in_w);
      for (int64_t c = 0; c < g.channels; ++c) {
        const T* x = static_cast<const T*>(a.x) + n * xs[0] + c * xs[1];
        const int64_t to = n * ys[0] + c * ys[1] + oh * ys[2] + ow * ys[3];
        double result = 0;
        int64_t winner = -1;
        for (int64_t kh = wh.first; kh < wh.last; ++kh) {
          for (int64_t kw = ww.first; kw < ww.last; ++kw) {
            const double v = to_value(x[(wh.start + kh) * xs[2] + (ww.start + kw) * xs[3]]);
            if (a.kind != Pooling::max) {
              result += a.kind == Pooling::blur ? kBlur[kh] * kBlur[kw] * v : v;
            } else if (winner < 0 || v > result || (std::isnan(v) && !std::isnan(result))) {
              result = v;
              winner = kh * g.kernel_w + kw;
            }
          }
        }
        if (a.kind == Pooling::average) result /= divisor(g, wh, ww);
        static_cast<T*>(a.y)[to] = from_value<T>(result);
        if (a.winner) a.winner[to] = static_cast<int32_t>(winner);
      }
    }
  });
}

template <class T>
void backward(const Pool2dBwdArgs& a) {
  const Pool2dGeometry& g = a.g;
  const auto &xs = g.x_strides, &ys = g.y_strides;
  parallel_for(g.n * g.in_h, [&](int64_t row) {
    const int64_t n = row / g.in_h, h = row % g.in_h;
    const Covering ch = covering(h, g.kernel_h, g.stride_h, g.pad_h, g.out_h);
    for (int64_t w = 0; w < g.in_w; ++w) {
      const Covering cw = covering(w, g.kernel_w, g.stride_w, g.pad_w, g.out_w);
      for (int64_t c = 0; c < g.channels; ++c) {
        double sum = 0;
        for (int64_t oh = ch.first; oh < ch.last; ++oh) {
          for (int64_t ow = cw.first; ow < cw.last; ++ow) {
            const int64_t from = n * ys[0] + c * ys[1] + oh * ys[2] + ow * ys[3];
            const double grad = to_value(static_cast<const T*>(a.grad_y)[from]);
            const int64_t kh = h + g.pad_h - oh * g.stride_h, kw = w + g.pad_w - ow * g.stride_w;
            if (a.kind == Pooling::max)
              sum += a.winner[from] == kh * g.kernel_w + kw ? grad : 0;
            else if (a.kind == Pooling::blur)
              sum += kBlur[kh] * kBlur[kw] * grad;
            else
              sum += grad / divisor(g, window(oh, g.kernel_h, g.stride_h, g.pad_h, g.in_h),
                                    window(ow, g.kernel_w, g.stride_w, g.pad_w, g.in_w));
          }
        }
        static_cast<T*>(a.grad_x)[n * xs[0] + c * xs[1] + h * xs[2] + w * xs[3]] =
            from_value<T>(sum);
      }
    }
  });
}

void forward_reference(const Pool2dFwdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { forward<decltype(t)>(a); });
}
void backward_reference(const Pool2dBwdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { backward<decltype(t)>(a); });
}

SING_REFERENCE_KERNEL(pool2d_fwd, forward_reference)
SING_REFERENCE_KERNEL(pool2d_bwd, backward_reference)

}  // namespace
}  // namespace sing::kernels
