// Layer and root-mean-square normalisation of rows. A row that fits is held in registers, so that
// forward reads x once and writes y once; a branch is read beside x, and their sum written beside
// y. Backward sums the gradients of weight and bias on the way, per block, and a second launch adds
// the blocks in their order.
#include "kernels/layer_norm.h"

#include "kernels/cuda/columns.h"
#include "kernels/cuda/row.h"

namespace sing::cuda {
namespace {

template <class T>
struct ForwardJob {
  const T *x, *branch, *weight, *bias;
  T *y, *sum;
  float *mean, *rstd;
  int64_t rows, cols;
  float eps;
  bool centred;
};

/// Blocks that a multiprocessor must hold for enough bytes to be under way; left alone the compiler
/// keeps every element as f32 too, in twice the registers.
/// A branch brings twice the bytes, and takes registers to hold them.
template <int kItems, int kThreads, bool kBranch>
inline constexpr int kForwardBlocks = (kItems == 1   ? 8
                                       : kItems == 2 ? (kBranch ? 6 : 8)
                                       : kItems == 3 ? (kBranch ? 4 : 6)
                                                     : (kBranch ? 3 : 5)) /
                                      (kThreads == kWarp ? 1 : 2);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr int kBackwardBlocksOfTwo = 3;  // code for sm_100 takes a few registers more
#else
inline constexpr int kBackwardBlocksOfTwo = 4;
#endif
template <int kItems, int kThreads>
inline constexpr int kBackwardBlocks = (kItems == 1   ? 4
                                        : kItems == 2 ? kBackwardBlocksOfTwo
                                                      : 2) /
                                       (kThreads == kWarp ? 1 : 2);

template <class T, int N, int kItems, int kThreads, bool kBranch>
__global__ void __launch_bounds__(kRowBlock<kThreads>, (kForwardBlocks<kItems, kThreads, kBranch>))
    forward_kernel(ForwardJob<T> job) {
  constexpr int kRows = kRowsPerBlock<kThreads>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int packs = static_cast<int>(job.cols) / N;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRows;
  int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kThreads;
  if (row >= job.rows) return;  // a whole group, which meets no other
  RowPart<T, kItems, kThreads> weight, bias, x, next, next_branch;
  if (job.weight != nullptr) weight.load(job.weight, own, packs);
  if (job.bias != nullptr) bias.load(job.bias, own, packs);
  const float n = static_cast<float>(job.cols);
  next.load(job.x + row * job.cols, own, packs);
  if constexpr (kBranch) next_branch.load(job.branch + row * job.cols, own, packs);
  for (; row < job.rows; row += step) {
    x = next;
    if constexpr (kBranch) {
#pragma unroll
      for (int i = 0; i < kItems; ++i) {
        x.packs[i] = words_of<T>([&](int k) { return next.value(i, k) + next_branch.value(i, k); });
        if (own + i * kThreads < packs)
          reinterpret_cast<Words<T>*>(job.sum + row * job.cols)[own + i * kThreads] = x.packs[i];
      }
    }
    if (row + step < job.rows) {
      next.load(job.x + (row + step) * job.cols, own, packs);
      if constexpr (kBranch) next_branch.load(job.branch + (row + step) * job.cols, own, packs);
    }
    float mean = 0, square = 0;
    if (job.centred) {
#pragma unroll
      for (int i = 0; i < kItems; ++i)
#pragma unroll
        for (int k = 0; k < N; ++k) mean += x.value(i, k);
      mean = group_reduce<kThreads>(mean, 0.0f) / n;
    }
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (own + i * kThreads >= packs) continue;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float d = x.value(i, k) - mean;
        square += d * d;
      }
    }
    const float rstd = 1 / std::sqrt(group_reduce<kThreads>(square, 0.0f) / n + job.eps);
    if (own == 0) {
      if (job.centred) job.mean[row] = mean;
      job.rstd[row] = rstd;
    }
    T* y = job.y + row * job.cols;
    x.forget();
    weight.forget();
    bias.forget();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (own + i * kThreads >= packs) continue;
      reinterpret_cast<Words<T>*>(y)[own + i * kThreads] = words_of<T>([&](int k) {
        float v = (x.value(i, k) - mean) * rstd;
        if (job.weight != nullptr) v *= weight.value(i, k);
        if (job.bias != nullptr) v += bias.value(i, k);
        return v;
      });
    }
  }
}

/// Any row: it is read three times (its sum with the branch, where there is one), mostly from the
/// caches.
template <class T, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) forward_any_kernel(ForwardJob<T> job) {
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.rows) return;
  const T* x = job.x + row * job.cols;
  if (job.branch != nullptr) {
    const T* branch = job.branch + row * job.cols;
    T* sum = job.sum + row * job.cols;
    // Every thread reads back only what it wrote itself.
    for (int64_t j = own; j < job.cols; j += kThreads)
      sum[j] = from_value<T>(to_value(x[j]) + to_value(branch[j]));
    x = sum;
  }
  const float n = static_cast<float>(job.cols);
  float mean = 0, square = 0;
  if (job.centred) {
    for (int64_t j = own; j < job.cols; j += kThreads) mean += to_value(x[j]);
    mean = group_reduce<kThreads>(mean, 0.0f) / n;
  }
  for (int64_t j = own; j < job.cols; j += kThreads) {
    const float d = to_value(x[j]) - mean;
    square += d * d;
  }
  const float rstd = 1 / std::sqrt(group_reduce<kThreads>(square, 0.0f) / n + job.eps);
  if (own == 0) {
    if (job.centred) job.mean[row] = mean;
    job.rstd[row] = rstd;
  }
  for (int64_t j = own; j < job.cols; j += kThreads) {
    float v = (to_value(x[j]) - mean) * rstd;
    if (job.weight != nullptr) v *= to_value(job.weight[j]);
    if (job.bias != nullptr) v += to_value(job.bias[j]);
    job.y[row * job.cols + j] = from_value<T>(v);
  }
}

/// Rows of up to this many columns that no registers hold are a warp's work.
constexpr int64_t kWarpCols = 2048;

void forward(const kernels::LayerNormForwardArgs& args) {
  if (args.rows == 0 || args.cols == 0) return;
  dispatch_floating("layer_norm", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = kPack<T>;
    const ForwardJob<T> job{static_cast<const T*>(args.x),
                            static_cast<const T*>(args.branch),
                            static_cast<const T*>(args.weight),
                            static_cast<const T*>(args.bias),
                            static_cast<T*>(args.y),
                            static_cast<T*>(args.sum),
                            static_cast<float*>(args.mean),
                            static_cast<float*>(args.rstd),
                            args.rows,
                            args.cols,
                            static_cast<float>(args.eps),
                            args.centred};
    const auto run = [&]<int kItems, int kThreads>() {
      const auto kernel = args.branch != nullptr ? forward_kernel<T, N, kItems, kThreads, true>
                                                 : forward_kernel<T, N, kItems, kThreads, false>;
      launch(kernel, row_grid<kThreads>(args.rows), args.stream, job);
    };
    if (args.cols % N == 0 &&
        aligned_for_packs(16, args.x, args.branch, args.weight, args.bias, args.y, args.sum) &&
        with_row_part(args.cols / N, run))
      return;
    if (args.cols <= kWarpCols)
      launch(forward_any_kernel<T, kWarp>, one_row_grid<kWarp>(args.rows), args.stream, job);
    else
      launch(forward_any_kernel<T, kBlockRowThreads>, one_row_grid<kBlockRowThreads>(args.rows),
             args.stream, job);
  });
}

// --- backward ----------------------------------------------------------------------------------

template <class T>
struct BackwardJob {
  const T *grad, *x, *weight, *other;  // other: added to grad_x, or nullptr
  const float *mean, *rstd;
  T* grad_x;
  float* partial;  // [blocks, 2, cols] of grad_weight and grad_bias
  int64_t rows, cols;
  bool centred;
};

/// What becomes of the sums over all rows.
struct ParameterGradients {
  void *weight, *bias;
  DType weight_dtype, bias_dtype;
  bool accumulate_weight, accumulate_bias;
  template <class V>
  SING_DEVICE void operator()(int64_t column, const V* sums) const {
    if (weight != nullptr) store_number(weight, weight_dtype, column, sums[0], accumulate_weight);
    if (bias != nullptr) store_number(bias, bias_dtype, column, sums[1], accumulate_bias);
  }
};

template <class T, int N, int kItems, int kThreads, bool kParameters>
__global__ void __launch_bounds__(kRowBlock<kThreads>, (kBackwardBlocks<kItems, kThreads>))
    backward_kernel(BackwardJob<T> job) {
  constexpr int kRows = kRowsPerBlock<kThreads>;
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int packs = static_cast<int>(job.cols) / N;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRows;
  int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kThreads;
  using Part = RowPart<T, kItems, kThreads>;
  Part weight, x, grad, next_x, next_grad;
  float of_weight[kParameters ? kItems : 1][N] = {}, of_bias[kParameters ? kItems : 1][N] = {};
  if (job.weight != nullptr) weight.load(job.weight, own, packs);
  const float n = static_cast<float>(job.cols);
  float mean = 0, rstd = 0, next_mean = 0, next_rstd = 0;
  // The next row is under way while this one is worked on.
  const auto load_next = [&](int64_t at) {
    next_x.load(job.x + at * job.cols, own, packs);
    next_grad.load(job.grad + at * job.cols, own, packs);
    if (job.centred) next_mean = job.mean[at];
    next_rstd = job.rstd[at];
  };
  if (row < job.rows) load_next(row);
  for (; row < job.rows; row += step) {
    x = next_x;
    grad = next_grad;
    mean = next_mean;
    rstd = next_rstd;
    if (row + step < job.rows) load_next(row + step);
    Part other;
    if (job.other != nullptr) other.load(job.other + row * job.cols, own, packs);
    float sum = 0, product = 0;
    weight.forget();
#pragma unroll
    for (int i = 0; i < kItems; ++i)
#pragma unroll
      for (int k = 0; k < N; ++k) {
        // Past the end of a row the gradient is 0.
        float g = grad.value(i, k);
        const float xhat = (x.value(i, k) - mean) * rstd;
        if constexpr (kParameters) {
          of_weight[i][k] += g * xhat;
          of_bias[i][k] += g;
        }
        if (job.weight != nullptr) g *= weight.value(i, k);
        sum += g;
        product += g * xhat;
      }
    if (job.grad_x == nullptr) continue;
    sum = job.centred ? group_reduce<kThreads>(sum, 0.0f) / n : 0.0f;
    product = group_reduce<kThreads>(product, 0.0f) / n;
    T* grad_x = job.grad_x + row * job.cols;
    x.forget();
    grad.forget();
    weight.forget();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (own + i * kThreads >= packs) continue;
      reinterpret_cast<Words<T>*>(grad_x)[own + i * kThreads] = words_of<T>([&](int k) {
        float g = grad.value(i, k);
        if (job.weight != nullptr) g *= weight.value(i, k);
        const float xhat = (x.value(i, k) - mean) * rstd;
        const float own_grad = (g - sum - xhat * product) * rstd;
        return job.other != nullptr ? own_grad + other.value(i, k) : own_grad;
      });
    }
  }
  if constexpr (kParameters) {
    float* const partial = job.partial + static_cast<int64_t>(blockIdx.x) * 2 * job.cols;
    // The warps of a block add theirs one after the other.
    __shared__ float sums[2][kRows == 1 ? 1 : kWarp * kItems * N];
#pragma unroll 1
    for (int turn = 0; turn < kRows; ++turn) {
      if (static_cast<int>(threadIdx.x) / kThreads == turn) {
#pragma unroll
        for (int i = 0; i < kItems; ++i) {
          if (own + i * kThreads >= packs) continue;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const int place = (i * N + k) * kWarp + own, column = (own + i * kThreads) * N + k;
            float w = of_weight[i][k], b = of_bias[i][k];
            if (kRows > 1 && turn > 0) {
              w += sums[0][place];
              b += sums[1][place];
            }
            if (turn == kRows - 1) {
              partial[column] = w;
              partial[job.cols + column] = b;
            } else {
              sums[0][place] = w;
              sums[1][place] = b;
            }
          }
        }
      }
      __syncthreads();
    }
  }
}

/// Any row, read twice.
template <class T, int kThreads>
__global__ void __launch_bounds__(kRowBlock<kThreads>) backward_any_kernel(BackwardJob<T> job) {
  const int own = static_cast<int>(threadIdx.x) % kThreads;
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kThreads> + threadIdx.x / kThreads;
  if (row >= job.rows) return;
  const T *x = job.x + row * job.cols, *grad = job.grad + row * job.cols;
  const float n = static_cast<float>(job.cols);
  const float mean = job.centred ? job.mean[row] : 0.0f, rstd = job.rstd[row];
  const auto weighted = [&](int64_t j) {
    return to_value(grad[j]) * (job.weight != nullptr ? to_value(job.weight[j]) : 1.0f);
  };
  float sum = 0, product = 0;
  for (int64_t j = own; j < job.cols; j += kThreads) {
    sum += weighted(j);
    product += weighted(j) * (to_value(x[j]) - mean) * rstd;
  }
  sum = job.centred ? group_reduce<kThreads>(sum, 0.0f) / n : 0.0f;
  product = group_reduce<kThreads>(product, 0.0f) / n;
  for (int64_t j = own; j < job.cols; j += kThreads) {
    const float xhat = (to_value(x[j]) - mean) * rstd;
    float result = (weighted(j) - sum - xhat * product) * rstd;
    if (job.other != nullptr) result += to_value(job.other[row * job.cols + j]);
    job.grad_x[row * job.cols + j] = from_value<T>(result);
  }
}

/// The sums over rows alone, for any number of columns.
template <class T>
__global__ void __launch_bounds__(kColumnThreads, 2)
    parameters_any_kernel(BackwardJob<T> job, int64_t rows_per_block, int64_t across) {
  const ColumnPlace place(job.rows, rows_per_block, across);
  double sums[2][1] = {};
  if (place.pack < job.cols)
    for (int64_t row = place.row; row < place.end; row += place.step) {
      const float g = to_value(job.grad[row * job.cols + place.pack]);
      const float x = to_value(job.x[row * job.cols + place.pack]);
      sums[0][0] += g * (x - (job.centred ? job.mean[row] : 0.0f)) * job.rstd[row];
      sums[1][0] += g;
    }
  const int64_t first = place.pack - threadIdx.x;
  float* const partial = job.partial + place.chunk * 2 * job.cols;
  add_columns(sums, [&](int column, const double* sum) {
    if (first + column >= job.cols) return;
    partial[first + column] = static_cast<float>(sum[0]);
    partial[job.cols + first + column] = static_cast<float>(sum[1]);
  });
}

size_t partial_bytes(int64_t blocks, int64_t cols) {
  return static_cast<size_t>(blocks * 2 * cols) * sizeof(float);
}

template <class T>
void backward_any(BackwardJob<T> job, bool parameters, const ParameterGradients& finish,
                  Stream stream) {
  if (job.grad_x != nullptr) {
    if (job.cols <= kWarpCols)
      launch(backward_any_kernel<T, kWarp>, one_row_grid<kWarp>(job.rows), stream, job);
    else
      launch(backward_any_kernel<T, kBlockRowThreads>, one_row_grid<kBlockRowThreads>(job.rows),
             stream, job);
  }
  if (!parameters) return;
  const ColumnPlan plan = column_plan(job.rows, job.cols);
  const Workspace partial(partial_bytes(plan.chunks, job.cols), stream);
  job.partial = partial.as<float>();
  launch(parameters_any_kernel<T>, plan.grid(), stream, job, plan.rows_per_block, plan.across);
  finish_columns<2>(job.partial, plan.chunks, job.cols, finish, stream);
}

template <class T, int kItems, int kThreads>
void backward_part(BackwardJob<T> job, bool parameters, const ParameterGradients& finish,
                   Stream stream) {
  constexpr int N = kPack<T>;
  if (!parameters)
    return launch(backward_kernel<T, N, kItems, kThreads, false>, row_grid<kThreads>(job.rows),
                  stream, job);
  // Blocks that stay until the end, so that there are few partial sums: four (two of the large)
  // for each of 132 multiprocessors.
  constexpr int64_t kMost = kThreads == kWarp ? 528 : 264;
  Grid grid = one_row_grid<kThreads>(job.rows);
  grid.blocks.x = static_cast<unsigned>(std::min<int64_t>(grid.blocks.x, kMost));
  const Workspace partial(partial_bytes(grid.blocks.x, job.cols), stream);
  job.partial = partial.as<float>();
  launch(backward_kernel<T, N, kItems, kThreads, true>, grid, stream, job);
  finish_columns<2>(job.partial, int64_t{grid.blocks.x}, job.cols, finish, stream);
}

void backward(const kernels::LayerNormBackwardArgs& args) {
  if (args.cols == 0) return;
  const ParameterGradients finish{args.grad_weight,       args.grad_bias,
                                  args.grad_weight_dtype, args.grad_bias_dtype,
                                  args.accumulate_weight, args.accumulate_bias};
  const bool parameters = args.grad_weight != nullptr || args.grad_bias != nullptr;
  if (args.rows == 0) {
    if (parameters)
      finish_columns<2>(static_cast<const float*>(nullptr), 0, args.cols, finish, args.stream);
    return;
  }
  dispatch_floating("layer_norm", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = kPack<T>;
    const BackwardJob<T> job{static_cast<const T*>(args.grad),
                             static_cast<const T*>(args.x),
                             static_cast<const T*>(args.weight),
                             static_cast<const T*>(args.other_grad),
                             static_cast<const float*>(args.mean),
                             static_cast<const float*>(args.rstd),
                             static_cast<T*>(args.grad_x),
                             nullptr,
                             args.rows,
                             args.cols,
                             args.centred};
    const auto run = [&]<int kItems, int kThreads>() {
      backward_part<T, kItems, kThreads>(job, parameters, finish, args.stream);
    };
    if (args.cols % N == 0 &&
        aligned_for_packs(16, args.grad, args.x, args.weight, args.other_grad, args.grad_x) &&
        with_row_part(args.cols / N, run))
      return;
    backward_any(job, parameters, finish, args.stream);
  });
}

SING_CUDA_KERNEL(kernels::layer_norm_forward, forward)
SING_CUDA_KERNEL(kernels::layer_norm_backward, backward)

}  // namespace
}  // namespace sing::cuda
