// Batch normalisation of [outer, channels, inner]. With inner = 1 (channels-last images, matrices)
// threads side by side take neighbouring channels (columns.h); else a block takes a piece of one
// channel. Either way x is read once: each thread sums about the mean of the first elements it
// sees, and the sums of threads, blocks and chunks are brought to their common mean in f64, in an
// order that depends on the sizes alone.
#include "kernels/batch_norm.h"

#include "kernels/cuda/columns.h"

namespace sing::cuda {
namespace {

using kernels::BatchNormGeometry;

SING_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

/// Element c of a parameter vector of f32 or bf16.
SING_DEVICE float parameter(const void* values, DType dtype, int64_t c, float absent) {
  if (values == nullptr) return absent;
  return dtype == DType::f32 ? static_cast<const float*>(values)[c]
                             : to_value(static_cast<const bfloat16*>(values)[c]);
}

/// How the elements are shared out: as rows x channels (inner = 1), or channel by channel as
/// `count` packs that are not a matrix.
struct Pieces {
  int64_t rows, channels, inner;  // rows: of one channel; with inner > 1 its packs
  int64_t per_chunk, chunks, across;
  Grid grid;
};
Pieces pieces_of(const BatchNormGeometry& g, int pack) {
  Pieces p{};
  p.channels = g.channels;
  p.inner = g.inner;
  if (g.inner == 1) {
    const ColumnPlan plan = column_plan(g.outer, g.channels / pack);
    p.rows = g.outer;
    p.per_chunk = plan.rows_per_block;
    p.chunks = plan.chunks;
    p.across = plan.across;
    p.grid = plan.grid();
    return p;
  }
  p.rows = g.outer * g.inner / pack;
  const int64_t least = 2 * kColumnUnroll * kColumnThreads;
  const int64_t wanted = (1056 + g.channels - 1) / g.channels;
  const int64_t chunks = std::clamp<int64_t>(p.rows / least, 1, wanted);
  p.per_chunk = (p.rows + chunks - 1) / chunks;
  p.chunks = (p.rows + p.per_chunk - 1) / p.per_chunk;
  p.across = g.channels;
  p.grid = {dim3(static_cast<unsigned>(p.across * p.chunks)), dim3(kColumnThreads), 0};
  return p;
}

/// Where a thread of a block of one channel works.
template <int N>
struct PiecePlace {
  int64_t channel, chunk, at, end;
  explicit SING_DEVICE PiecePlace(const Pieces& p)
      : channel(static_cast<int64_t>(blockIdx.x) % p.across),
        chunk(static_cast<int64_t>(blockIdx.x) / p.across),
        at(chunk * p.per_chunk + threadIdx.x),
        end((chunk + 1) * p.per_chunk < p.rows ? (chunk + 1) * p.per_chunk : p.rows) {}
  /// Of the first element of pack number `pack` of the channel.
  SING_DEVICE int64_t offset(const Pieces& p, int64_t pack) const {
    const int64_t outer = quotient(pack * N, p.inner);
    return (outer * p.channels + channel) * p.inner + (pack * N - outer * p.inner);
  }
};

// --- statistics --------------------------------------------------------------------------------

/// Sums of x - pivot and of its square.
struct Shifted {
  float pivot;
  double sum, square;

  /// `partial` sums of a few elements, in f32.
  SING_DEVICE void add(float partial_sum, float partial_square) {
    sum += static_cast<double>(partial_sum);
    square += static_cast<double>(partial_square);
  }
  SING_DEVICE double total(double count) const { return sum + count * static_cast<double>(pivot); }
  /// Sum of (x - mean)^2.
  SING_DEVICE double about(double mean, double count) const {
    const double shift = static_cast<double>(pivot) - mean;
    return square + shift * (2 * sum + count * shift);
  }
};

template <class T>
struct StatsJob {
  const T* x;
  double* partial;  // [chunks, 2, channels]: mean and sum of squares about it
  Pieces pieces;
};

template <class T, int N>
__global__ void stats_columns_kernel(StatsJob<T> job) {
  const Pieces& p = job.pieces;
  const ColumnPlace place(p.rows, p.per_chunk, p.across);
  Shifted sums[N] = {};
  double count = 0;
  if (place.pack * N < p.channels)
    for (int64_t row = place.row; row < place.end; row += kColumnUnroll * place.step) {
      Pack<T, N> packs[kColumnUnroll] = {};
      int valid = 0;
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u)
        if (row + u * place.step < place.end) {
          packs[u] = *reinterpret_cast<const Pack<T, N>*>(
              job.x + (row + u * place.step) * p.channels + place.pack * N);
          ++valid;
        }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        float sum = 0, square = 0;
        if (count == 0) {
#pragma unroll
          for (int u = 0; u < kColumnUnroll; ++u) sum += to_value(packs[u].at[i]);
          sums[i].pivot = sum / static_cast<float>(valid);
          sum = 0;
        }
#pragma unroll
        for (int u = 0; u < kColumnUnroll; ++u) {
          const float d = u < valid ? to_value(packs[u].at[i]) - sums[i].pivot : 0;
          sum += d;
          square += d * d;
        }
        sums[i].add(sum, square);
      }
      count += valid;
    }
  __shared__ double mean[kColumnThreads];
  const double rows = static_cast<double>(place.end - place.chunk * p.per_chunk);
  double values[1][N];
#pragma unroll
  for (int i = 0; i < N; ++i) values[0][i] = sums[i].total(count);
  add_columns(values, [&](int column, const double* sum) { mean[column] = *sum / rows; });
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i)
    values[0][i] = sums[i].about(mean[static_cast<int>(threadIdx.x) * N + i], count);
  const int64_t first = (place.pack - threadIdx.x) * N;
  double* const out = job.partial + place.chunk * 2 * p.channels;
  add_columns(values, [&](int column, const double* squares) {
    if (first + column >= p.channels) return;
    out[first + column] = mean[column];
    out[p.channels + first + column] = *squares;
  });
}

template <class T, int N>
__global__ void stats_pieces_kernel(StatsJob<T> job) {
  const Pieces& p = job.pieces;
  const PiecePlace<N> place(p);
  Shifted sums{};
  double count = 0;
  for (int64_t at = place.at; at < place.end; at += kColumnUnroll * kColumnThreads) {
    Pack<T, N> packs[kColumnUnroll] = {};
    int valid = 0;
#pragma unroll
    for (int u = 0; u < kColumnUnroll; ++u)
      if (at + u * kColumnThreads < place.end) {
        packs[u] =
            *reinterpret_cast<const Pack<T, N>*>(job.x + place.offset(p, at + u * kColumnThreads));
        ++valid;
      }
    float sum = 0, square = 0;
    if (count == 0) {
#pragma unroll
      for (int i = 0; i < N; ++i) sum += to_value(packs[0].at[i]);
      sums.pivot = sum / N;
      sum = 0;
    }
#pragma unroll
    for (int u = 0; u < kColumnUnroll; ++u)
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float d = u < valid ? to_value(packs[u].at[i]) - sums.pivot : 0;
        sum += d;
        square += d * d;
      }
    sums.add(sum, square);
    count += valid * N;
  }
  const double elements = static_cast<double>((place.end - place.chunk * p.per_chunk) * N);
  const double mean = block_reduce(sums.total(count), 0.0) / elements;
  const double squares = block_reduce(sums.about(mean, count), 0.0);
  if (threadIdx.x != 0) return;
  job.partial[place.chunk * 2 * p.channels + place.channel] = mean;
  job.partial[(place.chunk * 2 + 1) * p.channels + place.channel] = squares;
}

struct StatsOutput {
  double *mean, *inverse_std;
  void *running_mean, *running_var;
  DType running_dtype;
  double eps, momentum;

  static SING_DEVICE void follow(void* running, DType dtype, int64_t c, double value,
                                 double momentum) {
    if (dtype == DType::f64) {
      double& to = static_cast<double*>(running)[c];
      to += momentum * (value - to);
    } else {
      float& to = static_cast<float*>(running)[c];
      to = static_cast<float>(static_cast<double>(to) +
                              momentum * (value - static_cast<double>(to)));
    }
  }
  SING_DEVICE void operator()(int64_t c, double batch_mean, double squares, double count) const {
    mean[c] = batch_mean;
    inverse_std[c] = 1 / std::sqrt(squares / count + eps);
    if (running_mean == nullptr) return;
    follow(running_mean, running_dtype, c, batch_mean, momentum);
    follow(running_var, running_dtype, c, squares / (count - 1), momentum);
  }
};

/// 32 channels per block; 32 threads share the chunks of each.
__global__ void finish_stats_kernel(const double* partial, Pieces p, int pack, StatsOutput output) {
  __shared__ double buffer[kWarp][kWarp + 1], mean[kWarp];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + x;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kWarp + y;  // after the exchange
  const double total = static_cast<double>(p.rows * pack);
  const auto count = [&](int64_t chunk) {
    const int64_t rest = p.rows - chunk * p.per_chunk;
    return static_cast<double>((rest < p.per_chunk ? rest : p.per_chunk) * pack);
  };
  double sum = 0;
  if (channel < p.channels)
#pragma unroll 8
    for (int64_t chunk = y; chunk < p.chunks; chunk += kWarp)
      sum += count(chunk) * partial[chunk * 2 * p.channels + channel];
  buffer[y][x] = sum;
  __syncthreads();
  const double own_mean = warp_reduce(buffer[x][y]) / total;
  if (x == 0) mean[y] = own_mean;
  __syncthreads();
  sum = 0;
  if (channel < p.channels)
#pragma unroll 8
    for (int64_t chunk = y; chunk < p.chunks; chunk += kWarp) {
      const double d = partial[chunk * 2 * p.channels + channel] - mean[x];
      sum += partial[(chunk * 2 + 1) * p.channels + channel] + count(chunk) * d * d;
    }
  buffer[y][x] = sum;
  __syncthreads();
  const double squares = warp_reduce(buffer[x][y]);
  if (x == 0 && own < p.channels) output(own, own_mean, squares, total);
}

/// Calls run.operator()<T, N>() with the pack that fits the geometry and the pointers.
template <class Run, class... Pointers>
void with_pack(DType dtype, const BatchNormGeometry& g, Run&& run, const Pointers*... pointers) {
  dispatch_floating("batch_norm", dtype, [&](auto tag) {
    using T = decltype(tag);
    const int64_t side = g.inner == 1 ? g.channels : g.inner;
    if (side % kPack<T> == 0 && aligned_for_packs(16, pointers...))
      run.template operator()<T, kPack<T>>();
    else
      run.template operator()<T, 1>();
  });
}

Grid warp_square(int64_t columns) {
  return {dim3(static_cast<unsigned>((columns + kWarp - 1) / kWarp)), dim3(kWarp, kWarp), 0};
}
size_t partial_bytes(const Pieces& p) {
  return static_cast<size_t>(p.chunks * 2 * p.channels) * sizeof(double);
}

void stats(const kernels::BatchNormStatsArgs& args) {
  if (args.g.outer * args.g.inner * args.g.channels == 0) return;
  const auto run = [&]<class T, int N>() {
    const Pieces p = pieces_of(args.g, N);
    const Workspace partial(partial_bytes(p), args.stream);
    const StatsJob<T> job{static_cast<const T*>(args.x), partial.as<double>(), p};
    if (args.g.inner == 1)
      launch(stats_columns_kernel<T, N>, p.grid, args.stream, job);
    else
      launch(stats_pieces_kernel<T, N>, p.grid, args.stream, job);
    const StatsOutput output{args.mean,        args.inverse_std,   args.running_mean,
                             args.running_var, args.running_dtype, args.eps,
                             args.momentum};
    launch(finish_stats_kernel, warp_square(p.channels), args.stream, job.partial, p,
           args.g.inner == 1 ? 1 : N, output);
  };
  with_pack(args.dtype, args.g, run, args.x);
}

__global__ void inverse_std_kernel(const void* var, DType dtype, double* inverse_std, int64_t n,
                                   double eps) {
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

// --- the sums of backward ----------------------------------------------------------------------

template <class T>
struct SumsJob {
  const T *x, *grad;
  const double *mean, *inverse_std;
  double* partial;  // [chunks, 2, channels]: of grad and of grad xhat
  Pieces pieces;
};
struct SumsOutput {
  double *sum_grad, *sum_grad_xhat;
  SING_DEVICE void operator()(int64_t c, const double* sums) const {
    sum_grad[c] = sums[0];
    sum_grad_xhat[c] = sums[1];
  }
};

template <class T, int N>
__global__ void sums_columns_kernel(SumsJob<T> job) {
  const Pieces& p = job.pieces;
  const ColumnPlace place(p.rows, p.per_chunk, p.across);
  double sums[2][N] = {};
  float mean[N] = {}, scale[N] = {};
  if (place.pack * N < p.channels) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      mean[i] = static_cast<float>(job.mean[place.pack * N + i]);
      scale[i] = static_cast<float>(job.inverse_std[place.pack * N + i]);
    }
    for (int64_t row = place.row; row < place.end; row += kColumnUnroll * place.step) {
      Pack<T, N> x[kColumnUnroll] = {}, grad[kColumnUnroll] = {};
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u) {
        if (row + u * place.step >= place.end) continue;
        const int64_t at = (row + u * place.step) * p.channels + place.pack * N;
        x[u] = *reinterpret_cast<const Pack<T, N>*>(job.x + at);
        grad[u] = *reinterpret_cast<const Pack<T, N>*>(job.grad + at);
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        float sum = 0, product = 0;  // a missing gradient is 0
#pragma unroll
        for (int u = 0; u < kColumnUnroll; ++u) {
          const float g = to_value(grad[u].at[i]);
          sum += g;
          product += g * ((to_value(x[u].at[i]) - mean[i]) * scale[i]);
        }
        sums[0][i] += static_cast<double>(sum);
        sums[1][i] += static_cast<double>(product);
      }
    }
  }
  const int64_t first = (place.pack - threadIdx.x) * N;
  double* const out = job.partial + place.chunk * 2 * p.channels;
  add_columns(sums, [&](int column, const double* sum) {
    if (first + column >= p.channels) return;
    out[first + column] = sum[0];
    out[p.channels + first + column] = sum[1];
  });
}

template <class T, int N>
__global__ void sums_pieces_kernel(SumsJob<T> job) {
  const Pieces& p = job.pieces;
  const PiecePlace<N> place(p);
  const float mean = static_cast<float>(job.mean[place.channel]);
  const float scale = static_cast<float>(job.inverse_std[place.channel]);
  double sum = 0, product = 0;
#pragma unroll 2
  for (int64_t at = place.at; at < place.end; at += kColumnThreads) {
    const int64_t offset = place.offset(p, at);
    const Pack<T, N> x = *reinterpret_cast<const Pack<T, N>*>(job.x + offset);
    const Pack<T, N> grad = *reinterpret_cast<const Pack<T, N>*>(job.grad + offset);
    float part = 0, part_product = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float g = to_value(grad.at[i]);
      part += g;
      part_product += g * ((to_value(x.at[i]) - mean) * scale);
    }
    sum += static_cast<double>(part);
    product += static_cast<double>(part_product);
  }
  sum = block_reduce(sum, 0.0);
  product = block_reduce(product, 0.0);
  if (threadIdx.x != 0) return;
  job.partial[place.chunk * 2 * p.channels + place.channel] = sum;
  job.partial[(place.chunk * 2 + 1) * p.channels + place.channel] = product;
}

void bwd_reduce(const kernels::BatchNormBwdReduceArgs& args) {
  if (args.g.channels == 0) return;
  const SumsOutput output{args.sum_grad, args.sum_grad_xhat};
  if (args.g.outer * args.g.inner == 0)
    return finish_columns<2>(static_cast<const double*>(nullptr), 0, args.g.channels, output,
                             args.stream);
  const auto run = [&]<class T, int N>() {
    const Pieces p = pieces_of(args.g, N);
    const Workspace partial(partial_bytes(p), args.stream);
    const SumsJob<T> job{static_cast<const T*>(args.x),
                         static_cast<const T*>(args.grad_y),
                         args.mean,
                         args.inverse_std,
                         partial.as<double>(),
                         p};
    if (args.g.inner == 1)
      launch(sums_columns_kernel<T, N>, p.grid, args.stream, job);
    else
      launch(sums_pieces_kernel<T, N>, p.grid, args.stream, job);
    finish_columns<2>(job.partial, p.chunks, p.channels, output, args.stream);
  };
  with_pack(args.dtype, args.g, run, args.x, args.grad_y);
}

// --- what is done to each element --------------------------------------------------------------

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
  double count;

  struct Channel {
    float mean, scale, centre, slope;
    SING_DEVICE float operator()(float grad, float x) const {
      return scale * (grad - centre - (x - mean) * slope);
    }
  };
  SING_DEVICE Channel channel(int64_t c) const {
    const float scale = static_cast<float>(inverse_std[c]) * parameter(weight, dtype, c, 1);
    return {static_cast<float>(mean[c]), scale, static_cast<float>(sum_grad[c] / count),
            static_cast<float>(sum_grad_xhat[c] * inverse_std[c] / count)};
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
__global__ void map_columns_kernel(T* y, const T* a, const T* b, Pieces p, Map map) {
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
__global__ void map_pieces_kernel(T* y, const T* a, const T* b, BatchNormGeometry g, int64_t packs,
                                  Map map) {
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
      launch(map_pieces_kernel<T, N, Map>, grid_for(n / N, 256, INT32_MAX), stream, to, first,
             second, g, n / N, map);
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
                     static_cast<double>(args.g.outer * args.g.inner)};
  map_elements(args.dtype, args.g, args.grad_x, args.grad_y, args.x, map, args.stream);
}

SING_CUDA_KERNEL(kernels::batch_norm_stats, stats)
SING_CUDA_KERNEL(kernels::batch_norm_inverse_std, inverse_std)
SING_CUDA_KERNEL(kernels::batch_norm_apply, apply)
SING_CUDA_KERNEL(kernels::batch_norm_bwd_reduce, bwd_reduce)
SING_CUDA_KERNEL(kernels::batch_norm_bwd_apply, bwd_apply)

}  // namespace
}  // namespace sing::cuda
