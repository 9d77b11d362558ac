// What batch normalisation does to each element, forward and backward; batch_norm_sums.cu makes the
// statistics and sums.
#include "kernels/cuda/batch_norm.h"

namespace sing::cuda {
namespace {

__global__ void __launch_bounds__(kBlockThreads)
    inverse_std_kernel(const void* var, DType dtype, double* inverse_std, int64_t n, double eps) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= n) return;
  const double v = dtype == DType::f64 ? static_cast<const double*>(var)[c]
                                       : static_cast<double>(parameter(var, dtype, c, 0));
  inverse_std[c] = 1 / std::sqrt(v + eps);
}

void inverse_std(const kernels::BatchNormInverseStdArgs& args) {
  if (args.channels == 0) return;
  launch(inverse_std_kernel, grid_for(args.channels), args.stream, args.var, args.dtype,
         args.inverse_std, args.channels, args.eps);
}

/// y = (x - mean) scale + bias.
struct Forward {
  static constexpr int kReads = 1;
  const double *mean, *inverse_std;
  const void *weight, *bias;
  DType dtype;

  struct Channel {
    float mean, scale, bias;
    SING_DEVICE float operator()(float x, float) const { return (x - mean) * scale + bias; }
  };
  SING_DEVICE Channel channel(int64_t c) const {
    return {static_cast<float>(mean[c]),
            static_cast<float>(inverse_std[c]) * parameter(weight, dtype, c, 1),
            parameter(bias, dtype, c, 0)};
  }
};

/// grad_x = scale (grad - centre - (x - mean) slope); of constants: scale grad.
struct Backward {
  static constexpr int kReads = 2;
  const double *mean, *inverse_std, *sum_grad, *sum_grad_xhat;
  const void* weight;
  DType dtype;
  double per_count;  // 1 / elements of a channel: a division of f64 takes as long as all the rest

  struct Channel {
    float mean, scale, centre, slope;
    SING_DEVICE float operator()(float grad, float x) const {
      return scale * (grad - centre - (x - mean) * slope);
    }
  };
  SING_DEVICE Channel channel(int64_t c) const {
    const float scale = static_cast<float>(inverse_std[c]) * parameter(weight, dtype, c, 1);
    return {static_cast<float>(mean[c]), scale, static_cast<float>(sum_grad[c] * per_count),
            static_cast<float>(sum_grad_xhat[c] * inverse_std[c] * per_count)};
  }
};
/// Backward through statistics that were constants.
struct Scale {
  static constexpr int kReads = 1;
  const double* inverse_std;
  const void* weight;
  DType dtype;

  struct Channel {
    float scale;
    SING_DEVICE float operator()(float grad, float) const { return scale * grad; }
  };
  SING_DEVICE Channel channel(int64_t c) const {
    return {static_cast<float>(inverse_std[c]) * parameter(weight, dtype, c, 1)};
  }
};

template <class T, int N, class Map>
__global__ void __launch_bounds__(kColumnThreads, 2)
    map_columns_kernel(T* y, const T* a, const T* b, Pieces p, Map map) {
  const ColumnPlace place(p.rows, p.per_chunk, p.across);
  if (place.pack * N >= p.channels) return;
  typename Map::Channel channels[N];
#pragma unroll
  for (int i = 0; i < N; ++i) channels[i] = map.channel(place.pack * N + i);
  for (int64_t row = place.row; row < place.end; row += kColumnUnroll * place.step) {
    Pack<T, N> as[kColumnUnroll] = {}, bs[kColumnUnroll] = {};
#pragma unroll
    for (int u = 0; u < kColumnUnroll; ++u) {
      if (row + u * place.step >= place.end) continue;
      const int64_t at = (row + u * place.step) * p.channels + place.pack * N;
      as[u] = *reinterpret_cast<const Pack<T, N>*>(a + at);
      if constexpr (Map::kReads == 2) bs[u] = *reinterpret_cast<const Pack<T, N>*>(b + at);
    }
#pragma unroll
    for (int u = 0; u < kColumnUnroll; ++u) {
      if (row + u * place.step >= place.end) continue;
#pragma unroll
      for (int i = 0; i < N; ++i)
        as[u].at[i] = from_value<T>(channels[i](to_value(as[u].at[i]), to_value(bs[u].at[i])));
      *reinterpret_cast<Pack<T, N>*>(y + (row + u * place.step) * p.channels + place.pack * N) =
          as[u];
    }
  }
}

/// Pack by pack through the whole tensor; a pack lies in one channel.
template <class T, int N, class Map>
__global__ void __launch_bounds__(kBlockThreads)
    map_pieces_kernel(T* y, const T* a, const T* b, BatchNormGeometry g, int64_t packs, Map map) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= packs) return;
  const int64_t plane = quotient(at * N, g.inner);
  const auto channel = map.channel(plane - quotient(plane, g.channels) * g.channels);
  Pack<T, N> as = *reinterpret_cast<const Pack<T, N>*>(a + at * N), bs = {};
  if constexpr (Map::kReads == 2) bs = *reinterpret_cast<const Pack<T, N>*>(b + at * N);
#pragma unroll
  for (int i = 0; i < N; ++i)
    as.at[i] = from_value<T>(channel(to_value(as.at[i]), to_value(bs.at[i])));
  *reinterpret_cast<Pack<T, N>*>(y + at * N) = as;
}

template <class Map>
void map_elements(DType dtype, const BatchNormGeometry& g, void* y, const void* a, const void* b,
                  const Map& map, Stream stream) {
  const int64_t n = g.outer * g.channels * g.inner;
  if (n == 0) return;
  const auto run = [&]<class T, int N>() {
    T* const to = static_cast<T*>(y);
    const T *first = static_cast<const T*>(a), *second = static_cast<const T*>(b);
    if (g.inner == 1) {
      const Pieces p = pieces_of(g, N);
      launch(map_columns_kernel<T, N, Map>, p.grid, stream, to, first, second, p, map);
    } else {
      launch(map_pieces_kernel<T, N, Map>, grid_for(n / N, kBlockThreads, INT32_MAX), stream, to,
             first, second, g, n / N, map);
    }
  };
  with_pack(dtype, g, run, y, a, b);
}

void apply(const kernels::BatchNormApplyArgs& args) {
  const Forward map{args.mean, args.inverse_std, args.weight, args.bias, args.param_dtype};
  map_elements(args.dtype, args.g, args.y, args.x, nullptr, map, args.stream);
}

void bwd_apply(const kernels::BatchNormBwdApplyArgs& args) {
  if (args.sum_grad == nullptr) {
    const Scale map{args.inverse_std, args.weight, args.param_dtype};
    return map_elements(args.dtype, args.g, args.grad_x, args.grad_y, nullptr, map, args.stream);
  }
  const Backward map{args.mean,
                     args.inverse_std,
                     args.sum_grad,
                     args.sum_grad_xhat,
                     args.weight,
                     args.param_dtype,
                     1 / static_cast<double>(args.g.outer * args.g.inner)};
  map_elements(args.dtype, args.g, args.grad_x, args.grad_y, args.x, map, args.stream);
}

SING_CUDA_KERNEL(kernels::batch_norm_inverse_std, inverse_std)
SING_CUDA_KERNEL(kernels::batch_norm_apply, apply)
SING_CUDA_KERNEL(kernels::batch_norm_bwd_apply, bwd_apply)

}  // namespace
}  // namespace sing::cuda
