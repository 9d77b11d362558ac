// Statistics of batch normalisation and the sums of its backward. x is read once: each thread sums
// about the mean of the first elements it sees, and the sums of threads, blocks and chunks are
// brought to their common mean in f64, in an order that depends on the sizes alone.
#include "kernels/cuda/batch_norm.h"

namespace sing::cuda {
namespace {

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
__global__ void __launch_bounds__(kColumnThreads, 2) stats_columns_kernel(StatsJob<T> job) {
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
__global__ void __launch_bounds__(kColumnThreads, 2) stats_pieces_kernel(StatsJob<T> job) {
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

/// kFinishColumns channels per block; kFinishDeep threads share the chunks of each.
__global__ void __launch_bounds__(kFinishThreads)
    finish_stats_kernel(const double* partial, Pieces p, int pack, StatsOutput output) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kFinishColumns + threadIdx.x;
  const double total = static_cast<double>(p.rows * pack);
  const auto count = [&](int64_t chunk) {
    const int64_t rest = p.rows - chunk * p.per_chunk;
    return static_cast<double>((rest < p.per_chunk ? rest : p.per_chunk) * pack);
  };
  double sum = 0;
  if (channel < p.channels)
#pragma unroll 8
    for (int64_t chunk = threadIdx.y; chunk < p.chunks; chunk += kFinishDeep)
      sum += count(chunk) * partial[chunk * 2 * p.channels + channel];
  const double mean = finish_sum(sum) / total;
  sum = 0;
  if (channel < p.channels)
#pragma unroll 8
    for (int64_t chunk = threadIdx.y; chunk < p.chunks; chunk += kFinishDeep) {
      const double d = partial[chunk * 2 * p.channels + channel] - mean;
      sum += partial[(chunk * 2 + 1) * p.channels + channel] + count(chunk) * d * d;
    }
  const double squares = finish_sum(sum);
  if (threadIdx.y == 0 && channel < p.channels) output(channel, mean, squares, total);
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
    launch(finish_stats_kernel, finish_grid(p.channels), args.stream, job.partial, p,
           args.g.inner == 1 ? 1 : N, output);
  };
  with_pack(args.dtype, args.g, run, args.x);
}

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
__global__ void __launch_bounds__(kColumnThreads, 2) sums_columns_kernel(SumsJob<T> job) {
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
__global__ void __launch_bounds__(kColumnThreads, 2) sums_pieces_kernel(SumsJob<T> job) {
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

SING_CUDA_KERNEL(kernels::batch_norm_stats, stats)
SING_CUDA_KERNEL(kernels::batch_norm_bwd_reduce, bwd_reduce)

}  // namespace
}  // namespace sing::cuda
