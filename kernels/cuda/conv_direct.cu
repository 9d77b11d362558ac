// Convolution as a matrix product whose operands are gathered while they are read: forward,
// gradient of the image and gradient of the weight differ only in what they read. Tiles of both
// operands go through shared memory; each thread sums its outputs over k in rising order.
#include "kernels/cuda/conv_direct.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "sing/core/error.h"

namespace sing::cuda {
namespace {

using kernels::Conv2dGeometry;

constexpr int kThreads = 256;
constexpr int kDepth = 16;  // terms per tile

/// The geometry with what the kernels derive from it.
struct Sizes {
  int64_t n, in_h, in_w, in_channels, out_h, out_w, out_channels;
  int64_t in_group, out_group;
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int64_t weight_o, weight_i, weight_h, weight_w;

  explicit Sizes(const Conv2dGeometry& g)
      : n(g.n),
        in_h(g.in_h),
        in_w(g.in_w),
        in_channels(g.in_channels),
        out_h(g.out_h),
        out_w(g.out_w),
        out_channels(g.out_channels),
        in_group(g.in_channels / g.groups),
        out_group(g.out_channels / g.groups),
        kernel_h(static_cast<int>(g.kernel_h)),
        kernel_w(static_cast<int>(g.kernel_w)),
        stride_h(static_cast<int>(g.stride_h)),
        stride_w(static_cast<int>(g.stride_w)),
        pad_h(static_cast<int>(g.pad_h)),
        pad_w(static_cast<int>(g.pad_w)),
        dilation_h(static_cast<int>(g.dilation_h)),
        dilation_w(static_cast<int>(g.dilation_w)),
        weight_o(g.weight_strides[0]),
        weight_i(g.weight_strides[1]),
        weight_h(g.weight_strides[2]),
        weight_w(g.weight_strides[3]) {}
  int64_t taps() const { return static_cast<int64_t>(kernel_h) * kernel_w; }
};

/// A pixel of some image.
struct Pixel {
  int64_t n;
  int h, w;
};
SING_DEVICE Pixel pixel_of(int64_t index, int64_t height, int64_t width) {
  const int64_t row = index / width;
  return {row / height, static_cast<int>(row % height), static_cast<int>(index - row * width)};
}
SING_DEVICE int64_t offset_of(int64_t n, int64_t h, int64_t w, int64_t height, int64_t width,
                              int64_t channels) {
  return ((n * height + h) * width + w) * channels;
}

// The operands. Each is a matrix of `outer` rows or columns by k; place() is what one thread finds
// out once about its outer index, load() reads an element of the group, 0 in the padding.
// kAlongK: neighbours in memory are neighbours in k (else in the outer index).

/// (output pixel, tap and input channel) of the image.
template <class T>
struct ImageAtOutput {
  static constexpr bool kAlongK = true;
  const T* x;
  SING_DEVICE Pixel place(const Sizes& s, int64_t outer) const {
    Pixel p = pixel_of(outer, s.out_h, s.out_w);
    p.h = p.h * s.stride_h - s.pad_h;
    p.w = p.w * s.stride_w - s.pad_w;
    return p;
  }
  SING_DEVICE float load(const Sizes& s, int64_t group, const Pixel& p, int64_t k) const {
    const int64_t tap = k / s.in_group, i = k - tap * s.in_group;
    const int kh = static_cast<int>(tap) / s.kernel_w, kw = static_cast<int>(tap) % s.kernel_w;
    const int h = p.h + kh * s.dilation_h, w = p.w + kw * s.dilation_w;
    if (h < 0 || h >= s.in_h || w < 0 || w >= s.in_w) return 0;
    return to_value(
        x[offset_of(p.n, h, w, s.in_h, s.in_w, s.in_channels) + group * s.in_group + i]);
  }
};

/// (input pixel, tap and output channel) of the gradient of the output.
template <class T>
struct GradientAtInput {
  static constexpr bool kAlongK = true;
  const T* grad_y;
  SING_DEVICE Pixel place(const Sizes& s, int64_t outer) const {
    Pixel p = pixel_of(outer, s.in_h, s.in_w);
    p.h += s.pad_h;
    p.w += s.pad_w;
    return p;
  }
  SING_DEVICE float load(const Sizes& s, int64_t group, const Pixel& p, int64_t k) const {
    const int64_t tap = k / s.out_group, o = k - tap * s.out_group;
    const int kh = static_cast<int>(tap) / s.kernel_w, kw = static_cast<int>(tap) % s.kernel_w;
    const int h = p.h - kh * s.dilation_h, w = p.w - kw * s.dilation_w;
    if (h < 0 || h % s.stride_h != 0 || w < 0 || w % s.stride_w != 0) return 0;
    const int oh = h / s.stride_h, ow = w / s.stride_w;
    if (oh >= s.out_h || ow >= s.out_w) return 0;
    return to_value(
        grad_y[offset_of(p.n, oh, ow, s.out_h, s.out_w, s.out_channels) + group * s.out_group + o]);
  }
};

SING_DEVICE int64_t weight_offset(const Sizes& s, int64_t group, int64_t o, int64_t i,
                                  int64_t tap) {
  const int64_t kh = tap / s.kernel_w, kw = tap - kh * s.kernel_w;
  return (group * s.out_group + o) * s.weight_o + i * s.weight_i + kh * s.weight_h +
         kw * s.weight_w;
}

/// (output channel, tap and input channel) of the weight.
template <class T>
struct WeightByOutput {
  static constexpr bool kAlongK = true;
  const T* weight;
  SING_DEVICE int64_t place(const Sizes&, int64_t outer) const { return outer; }
  SING_DEVICE float load(const Sizes& s, int64_t group, int64_t o, int64_t k) const {
    const int64_t tap = k / s.in_group, i = k - tap * s.in_group;
    return to_value(weight[weight_offset(s, group, o, i, tap)]);
  }
};

/// (input channel, tap and output channel) of the weight.
template <class T>
struct WeightByInput {
  static constexpr bool kAlongK = false;
  const T* weight;
  SING_DEVICE int64_t place(const Sizes&, int64_t outer) const { return outer; }
  SING_DEVICE float load(const Sizes& s, int64_t group, int64_t i, int64_t k) const {
    const int64_t tap = k / s.out_group, o = k - tap * s.out_group;
    return to_value(weight[weight_offset(s, group, o, i, tap)]);
  }
};

/// (output channel, output pixel) of the gradient of the output.
template <class T>
struct GradientByPixel {
  static constexpr bool kAlongK = false;
  const T* grad_y;
  SING_DEVICE int64_t place(const Sizes&, int64_t outer) const { return outer; }
  SING_DEVICE float load(const Sizes& s, int64_t group, int64_t o, int64_t k) const {
    return to_value(grad_y[k * s.out_channels + group * s.out_group + o]);
  }
};

/// (tap and input channel, output pixel) of the image.
template <class T>
struct ImageByPixel {
  static constexpr bool kAlongK = false;
  struct Place {
    int64_t channel;
    int h, w;
  };
  const T* x;
  SING_DEVICE Place place(const Sizes& s, int64_t outer) const {
    const int64_t tap = outer / s.in_group;
    const int kh = static_cast<int>(tap) / s.kernel_w, kw = static_cast<int>(tap) % s.kernel_w;
    return {outer - tap * s.in_group, kh * s.dilation_h - s.pad_h, kw * s.dilation_w - s.pad_w};
  }
  SING_DEVICE float load(const Sizes& s, int64_t group, const Place& p, int64_t k) const {
    const Pixel out = pixel_of(k, s.out_h, s.out_w);
    const int h = out.h * s.stride_h + p.h, w = out.w * s.stride_w + p.w;
    if (h < 0 || h >= s.in_h || w < 0 || w >= s.in_w) return 0;
    return to_value(
        x[offset_of(out.n, h, w, s.in_h, s.in_w, s.in_channels) + group * s.in_group + p.channel]);
  }
};

// What becomes of a sum: store(group, row, column, split, value).

/// An image with `channels` channels, `group_channels` of them in each group.
template <class T>
struct ToImage {
  T* to;
  const T* bias;  // of all groups, or null
  int64_t channels, group_channels;
  SING_DEVICE void store(int64_t group, int64_t pixel, int64_t channel, int64_t, float sum) const {
    const int64_t c = group * group_channels + channel;
    if (bias != nullptr) sum += to_value(bias[c]);
    to[pixel * channels + c] = from_value<T>(sum);
  }
};

/// One of several sums that are added up afterwards: (split, group, row, column).
struct ToPartial {
  float* to;
  int64_t groups, rows, columns;
  SING_DEVICE void store(int64_t group, int64_t row, int64_t column, int64_t split,
                         float sum) const {
    to[((split * groups + group) * rows + row) * columns + column] = sum;
  }
};

/// rows x columns sums over `terms` terms, for each group and each of `splits` ranges of terms.
struct Product {
  int64_t rows, columns, terms, groups, splits, terms_per_split;
};

/// Tile sizes: kRows x kColumns sums per block, (kRowsEach x kColumnsEach) per thread.
template <int kRowsEach_, int kColumnsEach_, int kThreadColumns_>
struct Tile {
  static constexpr int kRowsEach = kRowsEach_, kColumnsEach = kColumnsEach_;
  static constexpr int kThreadColumns = kThreadColumns_;
  static constexpr int kThreadRows = kThreads / kThreadColumns;
  static constexpr int kRows = kRowsEach * kThreadRows;
  static constexpr int kColumns = kColumnsEach * kThreadColumns;
};
using WideTile = Tile<4, 4, 16>;   // 64 x 64
using NarrowTile = Tile<4, 1, 8>;  // 128 x 8, for few channels per group

/// Which (outer, k) of a tile of kOuter x kDepth the e-th element is, so that neighbouring threads
/// read neighbours in memory.
template <bool kAlongK, int kOuter>
SING_DEVICE int outer_of(int e) {
  return kAlongK ? e / kDepth : e % kOuter;
}
template <bool kAlongK, int kOuter>
SING_DEVICE int depth_of(int e) {
  return kAlongK ? e % kDepth : e / kOuter;
}

/// Fills a tile of one operand; elements beyond the matrix are 0.
template <class Operand, int kOuter>
SING_DEVICE void load_tile(const Operand& from, const Sizes& s, int64_t group, int64_t first,
                           int64_t outers, int64_t k0, int64_t end, float (*tile)[kOuter + 1]) {
#pragma unroll
  for (int e0 = 0; e0 < kOuter * kDepth; e0 += kThreads) {
    const int e = e0 + static_cast<int>(threadIdx.x);
    if (e >= kOuter * kDepth) break;
    const int o = outer_of<Operand::kAlongK, kOuter>(e), d = depth_of<Operand::kAlongK, kOuter>(e);
    const int64_t outer = first + o, k = k0 + d;
    float value = 0;
    if (outer < outers && k < end) value = from.load(s, group, from.place(s, outer), k);
    tile[d][o] = value;
  }
}

template <class T, class A, class B, class Out>
__global__ void __launch_bounds__(kThreads) product_kernel(Sizes s, Product p, A a, B b, Out out) {
  __shared__ float a_tile[kDepth][T::kRows + 1];
  __shared__ float b_tile[kDepth][T::kColumns + 1];
  const int64_t column_tiles = (p.columns + T::kColumns - 1) / T::kColumns;
  const int64_t row_tiles = (p.rows + T::kRows - 1) / T::kRows;
  int64_t rest = blockIdx.x;
  const int64_t column0 = rest % column_tiles * T::kColumns;
  rest /= column_tiles;
  const int64_t row0 = rest % row_tiles * T::kRows;
  rest /= row_tiles;
  const int64_t group = rest % p.groups, split = rest / p.groups;
  const int64_t begin = split * p.terms_per_split;
  const int64_t end = begin + p.terms_per_split < p.terms ? begin + p.terms_per_split : p.terms;
  const int row = static_cast<int>(threadIdx.x) / T::kThreadColumns;
  const int column = static_cast<int>(threadIdx.x) % T::kThreadColumns;

  float sums[T::kRowsEach][T::kColumnsEach] = {};
  for (int64_t k0 = begin; k0 < end; k0 += kDepth) {
    load_tile<A, T::kRows>(a, s, group, row0, p.rows, k0, end, a_tile);
    load_tile<B, T::kColumns>(b, s, group, column0, p.columns, k0, end, b_tile);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
#pragma unroll
      for (int i = 0; i < T::kRowsEach; ++i)
#pragma unroll
        for (int j = 0; j < T::kColumnsEach; ++j)
          sums[i][j] +=
              a_tile[d][row + i * T::kThreadRows] * b_tile[d][column + j * T::kThreadColumns];
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < T::kRowsEach; ++i)
#pragma unroll
    for (int j = 0; j < T::kColumnsEach; ++j) {
      const int64_t r = row0 + row + i * T::kThreadRows;
      const int64_t c = column0 + column + j * T::kThreadColumns;
      if (r < p.rows && c < p.columns) out.store(group, r, c, split, sums[i][j]);
    }
}

int64_t tiles(int64_t size, int64_t tile) {
  return (size + tile - 1) / tile;
}

template <class T, class A, class B, class Out>
void launch_product(const char* op, const Sizes& s, const Product& p, const A& a, const B& b,
                    const Out& out, Stream stream) {
  const int64_t blocks =
      tiles(p.rows, T::kRows) * tiles(p.columns, T::kColumns) * p.groups * p.splits;
  if (blocks > INT32_MAX)
    throw NotImplementedError(std::string(op) + ": the output needs " + std::to_string(blocks) +
                              " blocks, more than one launch has");
  if (blocks == 0) return;
  launch(product_kernel<T, A, B, Out>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)},
         stream, s, p, a, b, out);
}

template <class A, class B, class Out>
void multiply(const char* op, const Sizes& s, const Product& p, const A& a, const B& b,
              const Out& out, Stream stream) {
  if (p.columns <= NarrowTile::kColumns)
    launch_product<NarrowTile>(op, s, p, a, b, out, stream);
  else
    launch_product<WideTile>(op, s, p, a, b, out, stream);
}

/// Ranges of terms, so that a short and deep product fills the device. Depends on sizes alone, not
/// on the device: the order of sums is the same everywhere.
int64_t splits_of(const Product& p) {
  constexpr int64_t kBlocks = 1024, kFewestTerms = 512, kMostPartials = int64_t{1} << 24;
  const int64_t elements = std::max<int64_t>(1, p.rows * p.columns * p.groups);
  const int64_t wanted = kBlocks / std::max<int64_t>(1, tiles(elements, 64 * 64)) + 1;
  const int64_t most = std::min(p.terms / kFewestTerms, kMostPartials / elements);
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, most));
}

/// The gradient = or += the sums of `splits` partials, each in the order (output channel, kernel
/// row, kernel column, input channel).
template <class G>
__global__ void __launch_bounds__(kThreads)
    sum_partials_kernel(Sizes s, G* to, const float* partial, int64_t n, int64_t splits, bool add) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (int64_t split = 0; split < splits; ++split) sum += partial[split * n + i];
  const int64_t channel = i % s.in_group, tap = i / s.in_group;
  const int64_t kw = tap % s.kernel_w, row = tap / s.kernel_w;
  const int64_t kh = row % s.kernel_h, o = row / s.kernel_h;
  const int64_t at = o * s.weight_o + channel * s.weight_i + kh * s.weight_h + kw * s.weight_w;
  to[at] = from_value<G>(add ? to_value(to[at]) + sum : sum);
}

int64_t weight_elements(const Conv2dGeometry& g) {
  return g.out_channels * (g.in_channels / g.groups) * g.kernel_h * g.kernel_w;
}

}  // namespace

void conv2d_forward_direct(const kernels::Conv2dFwdArgs& args) {
  const Sizes s(args.g);
  const Product p{s.n * s.out_h * s.out_w, s.out_group, s.taps() * s.in_group,
                  args.g.groups,           1,           s.taps() * s.in_group};
  dispatch_floating("conv2d", args.dtype, [&](auto t) {
    using T = decltype(t);
    multiply("conv2d", s, p, ImageAtOutput<T>{static_cast<const T*>(args.x)},
             WeightByOutput<T>{static_cast<const T*>(args.weight)},
             ToImage<T>{static_cast<T*>(args.y), static_cast<const T*>(args.bias), s.out_channels,
                        s.out_group},
             args.stream);
  });
}

void conv2d_backward_data_direct(const kernels::Conv2dBwdDataArgs& args) {
  const Sizes s(args.g);
  const Product p{s.n * s.in_h * s.in_w, s.in_group, s.taps() * s.out_group,
                  args.g.groups,         1,          s.taps() * s.out_group};
  dispatch_floating("conv2d backward", args.dtype, [&](auto t) {
    using T = decltype(t);
    multiply("conv2d backward", s, p, GradientAtInput<T>{static_cast<const T*>(args.grad_y)},
             WeightByInput<T>{static_cast<const T*>(args.weight)},
             ToImage<T>{static_cast<T*>(args.grad_x), nullptr, s.in_channels, s.in_group},
             args.stream);
  });
}

void conv2d_backward_weight_direct(const kernels::Conv2dBwdWeightArgs& args) {
  const Sizes s(args.g);
  const int64_t n = weight_elements(args.g);
  if (n == 0) return;
  Product p{s.out_group, s.taps() * s.in_group, s.n * s.out_h * s.out_w, args.g.groups, 1, 0};
  p.splits = splits_of(p);
  p.terms_per_split = tiles(p.terms, p.splits);
  const Workspace partials(static_cast<size_t>(n * p.splits) * sizeof(float), args.stream);
  dispatch_floating("conv2d backward", args.dtype, [&](auto t) {
    using T = decltype(t);
    multiply("conv2d backward", s, p, GradientByPixel<T>{static_cast<const T*>(args.grad_y)},
             ImageByPixel<T>{static_cast<const T*>(args.x)},
             ToPartial{partials.as<float>(), p.groups, p.rows, p.columns}, args.stream);
  });
  dispatch_floating("conv2d backward", args.grad_weight_dtype, [&](auto g) {
    using G = decltype(g);
    launch(sum_partials_kernel<G>, grid_for(n, kThreads, INT32_MAX), args.stream, s,
           static_cast<G*>(args.grad_weight), partials.as<float>(), n, p.splits, args.add_weight);
  });
}

}  // namespace sing::cuda
