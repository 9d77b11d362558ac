// Pooling of channels-last images, f32 and bf16: vectors run over the channels of a pixel.
#include "kernels/pool.h"

#include "backend/cpu/simd/elements.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr float kBlur[3] = {0.25f, 0.5f, 0.25f};

/// Places first..last-1 of a window that begins at start lie inside the image.
struct Window {
  int64_t start, first, last;
};
SING_INLINE Window window(int64_t at, int64_t kernel, int64_t stride, int64_t pad, int64_t size) {
  const int64_t start = at * stride - pad;
  return {start, start < 0 ? -start : 0, kernel < size - start ? kernel : size - start};
}
/// Output positions first..last-1 have a window that holds input position `at`.
struct Covering {
  int64_t first, last;
};
SING_INLINE Covering covering(int64_t at, int64_t kernel, int64_t stride, int64_t pad,
                              int64_t size) {
  const int64_t reach = at + pad - kernel + 1, end = (at + pad) / stride + 1;
  return {reach <= 0 ? 0 : (reach - 1) / stride + 1, end < size ? end : size};
}
SING_INLINE float share(const Pool2dGeometry& g, const Window& h, const Window& w) {
  return 1.0f / static_cast<float>(g.count_include_pad ? g.kernel_h * g.kernel_w
                                                       : (h.last - h.first) * (w.last - w.first));
}

bool serves(const Pool2dGeometry& g, DType dtype) {
  return is_f32_or_bf16(dtype) && (g.x_strides[1] == 1 || g.channels == 1) &&
         (g.y_strides[1] == 1 || g.channels == 1);
}

template <bool kBf16>
SING_INLINE void max_pixel(const Pool2dFwdArgs& a, int64_t from, int64_t to, const Window& wh,
                           const Window& ww) {
  using E = Elements<kBf16>;
  const Pool2dGeometry& g = a.g;
  for (int64_t c = 0; c < g.channels; c += kWidth) {
    const Mask lanes = first(g.channels - c < kWidth ? g.channels - c : kWidth);
    vf best = set1(-__builtin_inff());
    vi winner = splat(static_cast<int32_t>(wh.first * g.kernel_w + ww.first));
    for (int64_t kh = wh.first; kh < wh.last; ++kh) {
      for (int64_t kw = ww.first; kw < ww.last; ++kw) {
        const int64_t at =
            from + (wh.start + kh) * g.x_strides[2] + (ww.start + kw) * g.x_strides[3] + c;
        const vf v = E::get(a.x, at, lanes);
        const auto taken = ~(v <= best) & (best == best);  // larger, or the first NaN
        best = taken ? v : best;
        winner = taken ? splat(static_cast<int32_t>(kh * g.kernel_w + kw)) : winner;
      }
    }
    E::put(a.y, to + c, best, lanes);
    if (a.winner) store(reinterpret_cast<float*>(a.winner) + to + c, as_float(winner), lanes);
  }
}

template <bool kBf16>
SING_INLINE void sum_pixel(const Pool2dFwdArgs& a, int64_t from, int64_t to, const Window& wh,
                           const Window& ww) {
  using E = Elements<kBf16>;
  const Pool2dGeometry& g = a.g;
  const bool blur = a.kind == Pooling::blur;
  const float factor = blur ? 1.0f : share(g, wh, ww);
  for (int64_t c = 0; c < g.channels; c += kWidth) {
    const Mask lanes = first(g.channels - c < kWidth ? g.channels - c : kWidth);
    vf total{};
    for (int64_t kh = wh.first; kh < wh.last; ++kh) {
      const int64_t row = from + (wh.start + kh) * g.x_strides[2] + ww.start * g.x_strides[3] + c;
      vf sum{};
      for (int64_t kw = ww.first; kw < ww.last; ++kw)
        sum =
            fma(E::get(a.x, row + kw * g.x_strides[3], lanes), set1(blur ? kBlur[kw] : 1.0f), sum);
      total = fma(sum, set1(blur ? kBlur[kh] : 1.0f), total);
    }
    E::put(a.y, to + c, total * factor, lanes);
  }
}

template <bool kBf16>
void forward_row(const Pool2dFwdArgs& a, int64_t row) {
  const Pool2dGeometry& g = a.g;
  const int64_t n = row / g.out_h, oh = row % g.out_h;
  const Window wh = window(oh, g.kernel_h, g.stride_h, g.pad_h, g.in_h);
  for (int64_t ow = 0; ow < g.out_w; ++ow) {
    const Window ww = window(ow, g.kernel_w, g.stride_w, g.pad_w, g.in_w);
    const int64_t from = n * g.x_strides[0];
    const int64_t to = n * g.y_strides[0] + oh * g.y_strides[2] + ow * g.y_strides[3];
    if (a.kind == Pooling::max)
      max_pixel<kBf16>(a, from, to, wh, ww);
    else
      sum_pixel<kBf16>(a, from, to, wh, ww);
  }
}

bool forward(const Pool2dFwdArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  parallel_for(a.g.n * a.g.out_h, [&](int64_t row) {
    if (a.dtype == DType::bf16)
      forward_row<true>(a, row);
    else
      forward_row<false>(a, row);
  });
  return true;
}

template <bool kBf16>
void backward_row(const Pool2dBwdArgs& a, int64_t row) {
  using E = Elements<kBf16>;
  const Pool2dGeometry& g = a.g;
  const int64_t n = row / g.in_h, h = row % g.in_h;
  const Covering ch = covering(h, g.kernel_h, g.stride_h, g.pad_h, g.out_h);
  for (int64_t w = 0; w < g.in_w; ++w) {
    const Covering cw = covering(w, g.kernel_w, g.stride_w, g.pad_w, g.out_w);
    const int64_t to = n * g.x_strides[0] + h * g.x_strides[2] + w * g.x_strides[3];
    for (int64_t c = 0; c < g.channels; c += kWidth) {
      const Mask lanes = first(g.channels - c < kWidth ? g.channels - c : kWidth);
      vf sum{};
      for (int64_t oh = ch.first; oh < ch.last; ++oh) {
        const int64_t kh = h + g.pad_h - oh * g.stride_h;
        for (int64_t ow = cw.first; ow < cw.last; ++ow) {
          const int64_t kw = w + g.pad_w - ow * g.stride_w;
          const int64_t from = n * g.y_strides[0] + oh * g.y_strides[2] + ow * g.y_strides[3] + c;
          const vf grad = E::get(a.grad_y, from, lanes);
          if (a.kind == Pooling::max) {
            const vi winner = as_int(load(reinterpret_cast<const float*>(a.winner) + from, lanes));
            const vi place = splat(static_cast<int32_t>(kh * g.kernel_w + kw));
            sum = sum + ((winner == place) ? grad : vf{});
          } else if (a.kind == Pooling::blur) {
            sum = fma(grad, set1(kBlur[kh] * kBlur[kw]), sum);
          } else {
            const float part = share(g, window(oh, g.kernel_h, g.stride_h, g.pad_h, g.in_h),
                                     window(ow, g.kernel_w, g.stride_w, g.pad_w, g.in_w));
            sum = fma(grad, set1(part), sum);
          }
        }
      }
      E::put(a.grad_x, to + c, sum, lanes);
    }
  }
}

bool backward(const Pool2dBwdArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  parallel_for(a.g.n * a.g.in_h, [&](int64_t row) {
    if (a.dtype == DType::bf16)
      backward_row<true>(a, row);
    else
      backward_row<false>(a, row);
  });
  return true;
}

SING_SIMD_KERNEL(pool2d_fwd, forward, "pool2d")
SING_SIMD_KERNEL(pool2d_bwd, backward, "pool2d")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
