// Maximum, average and blur pooling of images. A thread makes one pixel of one channel, or of as
// many channels as lie in 16 bytes where they are the innermost dimension. Backward is a gather
// over the windows that hold a pixel, so nothing is added twice and nothing is cleared first.
#include "kernels/pool.h"

#include "kernels/cuda/walk.h"

namespace sing::cuda {
namespace {

using kernels::Pool2dGeometry;
using kernels::Pooling;

/// The geometry as a kernel takes it, with the sizes of what its threads make.
struct PoolMap {
  int in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  int64_t x[4], y[4];  ///< strides of N, C, H, W
  bool whole_window;   ///< average: count the padding
  bool channels_inner;
  uint32_t units;
  Divider channels, height, width;  ///< channels in units
};

/// Offsets in x and y, without those of height and width, and the pixel.
struct Place {
  int64_t x, y;
  int h, w;
};
template <int N>
SING_DEVICE Place place_of(const PoolMap& m, uint32_t unit) {
  const auto take = [&](const Divider& size) {
    const uint32_t rest = size.quotient(unit), place = unit - rest * size.divisor;
    unit = rest;
    return static_cast<int>(place);
  };
  int c = 0;
  if (m.channels_inner) c = take(m.channels);
  const int w = take(m.width), h = take(m.height);
  if (!m.channels_inner) c = take(m.channels);
  return {unit * m.x[0] + c * N * m.x[1], unit * m.y[0] + c * N * m.y[1], h, w};
}

/// Places of a window that begins at `start` of one side which lie inside the image.
struct Window {
  int start, first, last;
};
SING_DEVICE Window window_of(int at, int kernel, int stride, int pad, int size) {
  const int start = at * stride - pad;
  return {start, start < 0 ? -start : 0, kernel < size - start ? kernel : size - start};
}

SING_DEVICE float blur_weight(int place) {
  return place == 1 ? 0.5f : 0.25f;
}

SING_DEVICE float divisor_of(const PoolMap& m, const Window& h, const Window& w) {
  return static_cast<float>(m.whole_window ? m.kernel_h * m.kernel_w
                                           : (h.last - h.first) * (w.last - w.first));
}

template <class T, int N, Pooling kKind>
__global__ void __launch_bounds__(kBlockThreads, 2)
    pool_kernel(T* y, int32_t* winner, const T* x, PoolMap m) {
  const uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x;
  if (unit >= m.units) return;
  const Place at = place_of<N>(m, unit);
  const Window h = window_of(at.h, m.kernel_h, m.stride_h, m.pad_h, m.in_h);
  const Window w = window_of(at.w, m.kernel_w, m.stride_w, m.pad_w, m.in_w);
  float result[N] = {};
  int best[N];
#pragma unroll
  for (int k = 0; k < N; ++k) best[k] = -1;
  for (int kh = h.first; kh < h.last; ++kh) {
    const T* row = x + at.x + (h.start + kh) * m.x[2] + w.start * m.x[3];
#pragma unroll 4
    for (int kw = w.first; kw < w.last; ++kw) {
      const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(row + kw * m.x[3]);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float v = to_value(pack.at[k]);
        if constexpr (kKind == Pooling::average) {
          result[k] += v;
        } else if constexpr (kKind == Pooling::blur) {
          result[k] += blur_weight(kh) * blur_weight(kw) * v;
        } else if (best[k] < 0 || v > result[k] || (v != v && result[k] == result[k])) {
          result[k] = v;
          best[k] = kh * m.kernel_w + kw;
        }
      }
    }
  }
  const int64_t to = at.y + at.h * m.y[2] + at.w * m.y[3];
  const float divisor = kKind == Pooling::average ? divisor_of(m, h, w) : 1.0f;
  Pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k)
    out.at[k] = from_value<T>(kKind == Pooling::average ? result[k] / divisor : result[k]);
  *reinterpret_cast<Pack<T, N>*>(y + to) = out;
  if constexpr (kKind == Pooling::max) {
    if (winner == nullptr) return;
    constexpr int kInts = N < 4 ? N : 4;
#pragma unroll
    for (int k = 0; k < N; k += kInts) {
      Pack<int32_t, kInts> places;
#pragma unroll
      for (int j = 0; j < kInts; ++j) places.at[j] = best[k + j];
      *reinterpret_cast<Pack<int32_t, kInts>*>(winner + to + k) = places;
    }
  }
}

/// Windows first..last-1 that hold the pixel at `at`.
struct Covering {
  int first, last;
};
SING_DEVICE Covering covering_of(int at, int kernel, int stride, int pad, int size) {
  const int reach = at + pad - kernel + 1;  // the earliest window start, times stride
  const int last = (at + pad) / stride + 1;
  return {reach <= 0 ? 0 : (reach - 1) / stride + 1, last < size ? last : size};
}

template <class T, int N, Pooling kKind>
__global__ void __launch_bounds__(kBlockThreads, 2)
    pool_backward_kernel(T* grad_x, const T* grad_y, const int32_t* winner, PoolMap m) {
  const uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x;
  if (unit >= m.units) return;
  const Place at = place_of<N>(m, unit);
  const Covering h = covering_of(at.h, m.kernel_h, m.stride_h, m.pad_h, m.out_h);
  const Covering w = covering_of(at.w, m.kernel_w, m.stride_w, m.pad_w, m.out_w);
  float sum[N] = {};
  for (int oh = h.first; oh < h.last; ++oh) {
    const int kh = at.h + m.pad_h - oh * m.stride_h;
    const int64_t row = at.y + oh * m.y[2];
#pragma unroll 2
    for (int ow = w.first; ow < w.last; ++ow) {
      const int kw = at.w + m.pad_w - ow * m.stride_w;
      const int64_t from = row + ow * m.y[3];
      const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(grad_y + from);
      if constexpr (kKind == Pooling::max) {
        constexpr int kInts = N < 4 ? N : 4;
        const int place = kh * m.kernel_w + kw;
#pragma unroll
        for (int k = 0; k < N; k += kInts) {
          const auto places = *reinterpret_cast<const Pack<int32_t, kInts>*>(winner + from + k);
#pragma unroll
          for (int j = 0; j < kInts; ++j)
            if (places.at[j] == place) sum[k + j] += to_value(pack.at[k + j]);
        }
      } else {
        const float scale =
            kKind == Pooling::blur
                ? blur_weight(kh) * blur_weight(kw)
                : divisor_of(m, window_of(oh, m.kernel_h, m.stride_h, m.pad_h, m.in_h),
                             window_of(ow, m.kernel_w, m.stride_w, m.pad_w, m.in_w));
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float g = to_value(pack.at[k]);
          sum[k] += kKind == Pooling::blur ? g * scale : g / scale;
        }
      }
    }
  }
  Pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.at[k] = from_value<T>(sum[k]);
  *reinterpret_cast<Pack<T, N>*>(grad_x + at.x + at.h * m.x[2] + at.w * m.x[3]) = out;
}

/// The map of a launch whose threads make `height` by `width` pixels of `images` images.
PoolMap map_of(const Pool2dGeometry& g, int pack, int64_t images, int64_t height, int64_t width) {
  PoolMap m{};
  m.in_h = static_cast<int>(g.in_h);
  m.in_w = static_cast<int>(g.in_w);
  m.out_h = static_cast<int>(g.out_h);
  m.out_w = static_cast<int>(g.out_w);
  m.kernel_h = static_cast<int>(g.kernel_h);
  m.kernel_w = static_cast<int>(g.kernel_w);
  m.stride_h = static_cast<int>(g.stride_h);
  m.stride_w = static_cast<int>(g.stride_w);
  m.pad_h = static_cast<int>(g.pad_h);
  m.pad_w = static_cast<int>(g.pad_w);
  std::copy_n(g.x_strides, 4, m.x);
  std::copy_n(g.y_strides, 4, m.y);
  m.whole_window = g.count_include_pad;
  m.channels_inner = g.x_strides[1] == 1 && g.y_strides[1] == 1;
  m.units = static_cast<uint32_t>(images * (g.channels / pack) * height * width);
  m.channels = divider_of(g.channels / pack);
  m.height = divider_of(height);
  m.width = divider_of(width);
  return m;
}

/// Whether `pack` channels are one access in every image that `pointers` begin.
template <class... Pointers>
bool packs_channels(const Pool2dGeometry& g, int pack, const Pointers*... pointers) {
  if (g.channels % pack != 0 || g.x_strides[1] != 1 || g.y_strides[1] != 1) return false;
  const int64_t x_sizes[4] = {g.n, 1, g.in_h, g.in_w}, y_sizes[4] = {g.n, 1, g.out_h, g.out_w};
  for (int d = 0; d < 4; ++d)
    if ((x_sizes[d] > 1 && g.x_strides[d] % pack != 0) ||
        (y_sizes[d] > 1 && g.y_strides[d] % pack != 0))
      return false;
  return aligned_for_packs(16, pointers...);
}

/// Calls start(map, first image) for as many images at a time as have fewer than 2^31 units.
template <class Start>
void for_each_batch(const Pool2dGeometry& g, int pack, int64_t height, int64_t width,
                    const Start& start) {
  const int64_t units = g.channels / pack * height * width;
  if (g.n == 0 || units == 0) return;
  if (units > INT32_MAX)
    throw NotImplementedError("pool2d: no CUDA kernel for images of 2^31 elements or more");
  const int64_t most = INT32_MAX / units;
  for (int64_t first = 0; first < g.n; first += most)
    start(map_of(g, pack, std::min(most, g.n - first), height, width), first);
}

template <class T, int N, Pooling kKind>
void forward(const kernels::Pool2dFwdArgs& a) {
  for_each_batch(a.g, N, a.g.out_h, a.g.out_w, [&](const PoolMap& map, int64_t first) {
    const int64_t y = first * a.g.y_strides[0];
    launch(pool_kernel<T, N, kKind>, grid_for(map.units, kBlockThreads, INT32_MAX), a.stream,
           static_cast<T*>(a.y) + y, a.winner ? a.winner + y : nullptr,
           static_cast<const T*>(a.x) + first * a.g.x_strides[0], map);
  });
}

template <class T, int N, Pooling kKind>
void backward(const kernels::Pool2dBwdArgs& a) {
  for_each_batch(a.g, N, a.g.in_h, a.g.in_w, [&](const PoolMap& map, int64_t first) {
    const int64_t y = first * a.g.y_strides[0];
    launch(pool_backward_kernel<T, N, kKind>, grid_for(map.units, kBlockThreads, INT32_MAX),
           a.stream, static_cast<T*>(a.grad_x) + first * a.g.x_strides[0],
           static_cast<const T*>(a.grad_y) + y, a.winner ? a.winner + y : nullptr, map);
  });
}

/// Calls run<kind>().
template <class Run>
void with_kind(Pooling kind, const Run& run) {
  switch (kind) {
    case Pooling::max:
      return run.template operator()<Pooling::max>();
    case Pooling::average:
      return run.template operator()<Pooling::average>();
    case Pooling::blur:
      return run.template operator()<Pooling::blur>();
  }
}

void pool_forward(const kernels::Pool2dFwdArgs& a) {
  dispatch_floating("pool2d", a.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool packed = packs_channels(a.g, kPack<T>, a.x, a.y, a.winner);
    with_kind(a.kind, [&]<Pooling kKind>() {
      if (packed)
        forward<T, kPack<T>, kKind>(a);
      else
        forward<T, 1, kKind>(a);
    });
  });
}

void pool_backward(const kernels::Pool2dBwdArgs& a) {
  dispatch_floating("pool2d", a.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool packed = packs_channels(a.g, kPack<T>, a.grad_x, a.grad_y, a.winner);
    with_kind(a.kind, [&]<Pooling kKind>() {
      if (packed)
        backward<T, kPack<T>, kKind>(a);
      else
        backward<T, 1, kKind>(a);
    });
  });
}

SING_CUDA_KERNEL(kernels::pool2d_fwd, pool_forward)
SING_CUDA_KERNEL(kernels::pool2d_bwd, pool_backward)

}  // namespace
}  // namespace sing::cuda
