// Direct convolution loops over channels-last images, sums in f64: slow, short and exact.
#include "kernels/conv.h"

#include <vector>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(conv2d_fwd, Conv2dFwdArgs)
SING_DEFINE_SLOT(conv2d_bwd_data, Conv2dBwdDataArgs)
SING_DEFINE_SLOT(conv2d_bwd_weight, Conv2dBwdWeightArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

int64_t weight_at(const Conv2dGeometry& g, int64_t o, int64_t i, int64_t kh, int64_t kw) {
  const auto& s = g.weight_strides;
  return o * s[0] + i * s[1] + kh * s[2] + kw * s[3];
}

/// The weight as f64 in the order (output channel, kernel row, kernel column, input channel).
template <class T>
std::vector<double> packed_weight(const Conv2dGeometry& g, const void* weight) {
  const T* w = static_cast<const T*>(weight);
  std::vector<double> packed;
  for (int64_t o = 0; o < g.out_channels; ++o)
    for (int64_t kh = 0; kh < g.kernel_h; ++kh)
      for (int64_t kw = 0; kw < g.kernel_w; ++kw)
        for (int64_t i = 0; i < g.in_channels / g.groups; ++i)
          packed.push_back(to_value(w[weight_at(g, o, i, kh, kw)]));
  return packed;
}

/// First element of pixel (n, h, w) of an image with `channels` channels.
int64_t pixel(int64_t n, int64_t h, int64_t w, int64_t height, int64_t width, int64_t channels) {
  return ((n * height + h) * width + w) * channels;
}

template <class T>
void forward(const Conv2dFwdArgs& a) {
  const Conv2dGeometry& g = a.g;
  const T* x = static_cast<const T*>(a.x);
  const std::vector<double> weight = packed_weight<T>(g, a.weight);
  const T* bias = static_cast<const T*>(a.bias);
  T* y = static_cast<T*>(a.y);
  const int64_t in_group = g.in_channels / g.groups, out_group = g.out_channels / g.groups;
  parallel_for(g.n * g.out_h, [&](int64_t row) {
    const int64_t n = row / g.out_h, oh = row % g.out_h;
    for (int64_t ow = 0; ow < g.out_w; ++ow) {
      T* out = y + pixel(n, oh, ow, g.out_h, g.out_w, g.out_channels);
      for (int64_t o = 0; o < g.out_channels; ++o) {
        double sum = bias ? static_cast<double>(to_value(bias[o])) : 0;
        for (int64_t kh = 0; kh < g.kernel_h; ++kh) {
          const int64_t h = oh * g.stride_h - g.pad_h + kh * g.dilation_h;
          if (h < 0 || h >= g.in_h) continue;
          for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
            const int64_t w = ow * g.stride_w - g.pad_w + kw * g.dilation_w;
            if (w < 0 || w >= g.in_w) continue;
            const T* in =
                x + pixel(n, h, w, g.in_h, g.in_w, g.in_channels) + o / out_group * in_group;
            const double* taps =
                weight.data() + ((o * g.kernel_h + kh) * g.kernel_w + kw) * in_group;
            for (int64_t i = 0; i < in_group; ++i) sum += to_value(in[i]) * taps[i];
          }
        }
        out[o] = from_value<T>(sum);
      }
    }
  });
}

/// Output position whose window holds input position `at` at kernel place k, or -1.
int64_t output_of(int64_t at, int64_t k, int64_t stride, int64_t pad, int64_t dilation,
                  int64_t size) {
  const int64_t scaled = at + pad - k * dilation;
  if (scaled < 0 || scaled % stride != 0) return -1;
  return scaled / stride < size ? scaled / stride : -1;
}

template <class T>
void backward_data(const Conv2dBwdDataArgs& a) {
  const Conv2dGeometry& g = a.g;
  const T* grad_y = static_cast<const T*>(a.grad_y);
  const T* weight = static_cast<const T*>(a.weight);
  T* grad_x = static_cast<T*>(a.grad_x);
  const int64_t in_group = g.in_channels / g.groups, out_group = g.out_channels / g.groups;
  parallel_for(g.n * g.in_h, [&](int64_t row) {
    const int64_t n = row / g.in_h, h = row % g.in_h;
    for (int64_t w = 0; w < g.in_w; ++w) {
      T* out = grad_x + pixel(n, h, w, g.in_h, g.in_w, g.in_channels);
      for (int64_t c = 0; c < g.in_channels; ++c) {
        const int64_t group = c / in_group;
        double sum = 0;
        for (int64_t kh = 0; kh < g.kernel_h; ++kh) {
          const int64_t oh = output_of(h, kh, g.stride_h, g.pad_h, g.dilation_h, g.out_h);
          if (oh < 0) continue;
          for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
            const int64_t ow = output_of(w, kw, g.stride_w, g.pad_w, g.dilation_w, g.out_w);
            if (ow < 0) continue;
            const T* from = grad_y + pixel(n, oh, ow, g.out_h, g.out_w, g.out_channels);
            for (int64_t o = group * out_group; o < (group + 1) * out_group; ++o)
              sum += static_cast<double>(to_value(from[o])) *
                     to_value(weight[weight_at(g, o, c % in_group, kh, kw)]);
          }
        }
        out[c] = from_value<T>(sum);
      }
    }
  });
}

/// to = value, or to += value.
template <class G>
void put(G& to, double value, bool add) {
  to = from_value<G>(add ? static_cast<double>(to_value(to)) + value : value);
}

template <class T, class G>
void backward_weight(const Conv2dBwdWeightArgs& a) {
  const Conv2dGeometry& g = a.g;
  const T* x = static_cast<const T*>(a.x);
  const T* grad_y = static_cast<const T*>(a.grad_y);
  const int64_t in_group = g.in_channels / g.groups, out_group = g.out_channels / g.groups;
  parallel_for(g.out_channels, [&](int64_t o) {
    for (int64_t i = 0; i < in_group; ++i) {
      const int64_t c = o / out_group * in_group + i;
      for (int64_t kh = 0; kh < g.kernel_h; ++kh) {
        for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
          double sum = 0;
          for (int64_t n = 0; n < g.n; ++n) {
            for (int64_t oh = 0; oh < g.out_h; ++oh) {
              const int64_t h = oh * g.stride_h - g.pad_h + kh * g.dilation_h;
              if (h < 0 || h >= g.in_h) continue;
              for (int64_t ow = 0; ow < g.out_w; ++ow) {
                const int64_t w = ow * g.stride_w - g.pad_w + kw * g.dilation_w;
                if (w < 0 || w >= g.in_w) continue;
                sum += static_cast<double>(
                           to_value(x[pixel(n, h, w, g.in_h, g.in_w, g.in_channels) + c])) *
                       to_value(grad_y[pixel(n, oh, ow, g.out_h, g.out_w, g.out_channels) + o]);
              }
            }
          }
          put(static_cast<G*>(a.grad_weight)[weight_at(g, o, i, kh, kw)], sum, a.add_weight);
        }
      }
    }
  });
}

template <class T, class G>
void backward_bias(const Conv2dBwdWeightArgs& a) {
  const Conv2dGeometry& g = a.g;
  const T* grad_y = static_cast<const T*>(a.grad_y);
  const int64_t pixels = g.n * g.out_h * g.out_w;
  parallel_for(g.out_channels, [&](int64_t o) {
    double sum = 0;
    for (int64_t p = 0; p < pixels; ++p) sum += to_value(grad_y[p * g.out_channels + o]);
    put(static_cast<G*>(a.grad_bias)[o], sum, a.add_bias);
  });
}

void forward_reference(const Conv2dFwdArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { forward<decltype(t)>(a); });
}
void backward_data_reference(const Conv2dBwdDataArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { backward_data<decltype(t)>(a); });
}
void backward_weight_reference(const Conv2dBwdWeightArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    using T = decltype(t);
    if (a.grad_weight)
      cpu::dispatch_floating(a.grad_weight_dtype,
                             [&](auto g) { backward_weight<T, decltype(g)>(a); });
    if (a.grad_bias)
      cpu::dispatch_floating(a.grad_bias_dtype, [&](auto g) { backward_bias<T, decltype(g)>(a); });
  });
}

SING_REFERENCE_KERNEL(conv2d_fwd, forward_reference)
SING_REFERENCE_KERNEL(conv2d_bwd_data, backward_data_reference)
SING_REFERENCE_KERNEL(conv2d_bwd_weight, backward_weight_reference)

}  // namespace
}  // namespace sing::kernels
