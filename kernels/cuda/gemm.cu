// Matrix products of any layout without a library: f32 sums in the order of k, whatever the launch.
// It serves what cuBLASLt does not map or refuses, and everything where that library is missing.
#include "kernels/cuda/gemm.h"

#include "kernels/cuda/activation.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

constexpr int kTile = 64;      // rows and columns of C per block
constexpr int kDepth = 16;     // of K per step
constexpr int kThreads = 256;  // 16 x 16, each with kOwn x kOwn elements
constexpr int kOwn = 4;
constexpr int kRow = kTile + 4;                    // floats, a multiple of 16 bytes
constexpr int kLoads = kTile * kDepth / kThreads;  // of each operand per thread and step
constexpr int64_t kMostBatches = 65535;            // blocks in y; each takes every so many-th
constexpr int kBatchRank = kernels::kGemmBatchRank;

/// One operand: element (i, p), i along C and p along K.
struct Operand {
  int64_t across, along;  // strides of i and p
  bool along_first;       // neighbouring threads read neighbours in p
};

struct Product {
  int64_t m, n, k, c_row, column_tiles, batches;
  Operand a, b;
  int64_t batch[kBatchRank], a_batch[kBatchRank], b_batch[kBatchRank], c_batch[kBatchRank];
  kernels::Epilogue epilogue;
  bool accumulate, packs;
};

/// A thread's part of the next slice, on its way from memory to shared memory.
template <class T>
struct Slice {
  float at[kLoads];

  SING_DEVICE static int place(int load, bool along_first, int& across) {
    const int t = static_cast<int>(threadIdx.x) + load * kThreads;
    across = along_first ? t / kDepth : t % kTile;
    return along_first ? t % kDepth : t / kTile;
  }
  SING_DEVICE void read(const T* from, const Operand& o, int64_t first, int64_t size, int64_t step,
                        int64_t k) {
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      int across;
      const int64_t p = step + place(l, o.along_first, across);
      const int64_t i = first + across;
      at[l] = i < size && p < k ? to_value(from[i * o.across + p * o.along]) : 0.0f;
    }
  }
  SING_DEVICE void write(float (*to)[kRow], const Operand& o) const {
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      int across;
      const int p = place(l, o.along_first, across);
      to[p][across] = at[l];
    }
  }
};

/// kOwn neighbours of one row, from column j on: old value, bias, activation, conversion.
template <class T, class C>
SING_DEVICE void finish(const Product& g, const T* bias, C* c, C* slope, int64_t at, int64_t j,
                        const float* sums) {
  const int64_t left = g.n - j;
  const int width = left < kOwn ? static_cast<int>(left) : kOwn;
  Pack<C, kOwn> result, before;
#pragma unroll
  for (int q = 0; q < kOwn; ++q) {
    if (q >= width) continue;
    float x = sums[q];
    if (g.accumulate) x += to_value(c[at + q]);
    if (bias != nullptr) x += to_value(bias[j + q]);
    before.at[q] = from_value<C>(x);
    result.at[q] = from_value<C>(activated(g.epilogue, x));
  }
  if (g.packs && width == kOwn) {
    *reinterpret_cast<Pack<C, kOwn>*>(c + at) = result;
    if (slope != nullptr) *reinterpret_cast<Pack<C, kOwn>*>(slope + at) = before;
    return;
  }
#pragma unroll
  for (int q = 0; q < kOwn; ++q) {
    if (q >= width) continue;
    c[at + q] = result.at[q];
    if (slope != nullptr) slope[at + q] = before.at[q];
  }
}

template <class T, class C>
__global__ void __launch_bounds__(kThreads, 2)
    gemm_kernel(const T* a, const T* b, const T* bias, C* c, C* slope, Product g) {
  // The two slices, and when they have been used the sums: there what follows is one copy of code
  // and not one per register, and whole rows are written together.
  __align__(16) __shared__ float shared[kTile][kRow];
  float(*const a_tile)[kRow] = shared;
  float(*const b_tile)[kRow] = shared + kDepth;
  const int64_t row = blockIdx.x / g.column_tiles * kTile;
  const int64_t column = blockIdx.x % g.column_tiles * kTile;
  const int ty = static_cast<int>(threadIdx.x) / 16 * kOwn;
  const int tx = static_cast<int>(threadIdx.x) % 16 * kOwn;
  for (int64_t batch = blockIdx.y; batch < g.batches; batch += gridDim.y) {
    int64_t rest = batch, a_at = 0, b_at = 0, c_at = 0;
#pragma unroll
    for (int d = kBatchRank - 1; d >= 0; --d) {
      const int64_t place = rest % g.batch[d];
      rest /= g.batch[d];
      a_at += place * g.a_batch[d];
      b_at += place * g.b_batch[d];
      c_at += place * g.c_batch[d];
    }
    float sums[kOwn][kOwn] = {};
    Slice<T> a_next, b_next;
    a_next.read(a + a_at, g.a, row, g.m, 0, g.k);
    b_next.read(b + b_at, g.b, column, g.n, 0, g.k);
    for (int64_t step = 0; step < g.k; step += kDepth) {
      __syncthreads();  // the slice before has been used
      a_next.write(a_tile, g.a);
      b_next.write(b_tile, g.b);
      __syncthreads();
      a_next.read(a + a_at, g.a, row, g.m, step + kDepth, g.k);
      b_next.read(b + b_at, g.b, column, g.n, step + kDepth, g.k);
#pragma unroll
      for (int p = 0; p < kDepth; ++p) {
        const Pack<float, kOwn> x = *reinterpret_cast<const Pack<float, kOwn>*>(&a_tile[p][ty]);
        const Pack<float, kOwn> y = *reinterpret_cast<const Pack<float, kOwn>*>(&b_tile[p][tx]);
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] += x.at[i] * y.at[j];
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
#pragma unroll
      for (int j = 0; j < kOwn; ++j) shared[ty + i][tx + j] = sums[i][j];
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < kOwn; ++i) {
      const int at = ty / kOwn + i * 16;
      const int64_t r = row + at, j = column + tx;
      if (r < g.m && j < g.n) finish(g, bias, c, slope, c_at + r * g.c_row + j, j, &shared[at][tx]);
    }
  }
}

Product product_of(const kernels::GemmArgs& args) {
  Product g{};
  g.m = args.m;
  g.n = args.n;
  g.k = args.k;
  g.c_row = args.c_row;
  g.column_tiles = (args.n + kTile - 1) / kTile;
  g.a = {args.a_row, args.a_col, args.a_col <= args.a_row};
  g.b = {args.b_col, args.b_row, args.b_row <= args.b_col};
  g.batches = 1;
  g.epilogue = args.epilogue;
  g.accumulate = args.accumulate;
  bool packs = args.c_row % kOwn == 0;
  for (int d = 0; d < kBatchRank; ++d) {
    const auto at = static_cast<size_t>(d);
    const bool used = d < args.batch_rank;
    g.batch[d] = used ? args.batch[at] : 1;
    g.a_batch[d] = used ? args.a_batch[at] : 0;
    g.b_batch[d] = used ? args.b_batch[at] : 0;
    g.c_batch[d] = used ? args.c_batch[at] : 0;
    g.batches *= g.batch[d];
    packs = packs && g.c_batch[d] % kOwn == 0;
  }
  g.packs = packs && aligned_for_packs(kOwn * size_of(args.c_dtype), args.c, args.slope);
  return g;
}

template <class T, class C>
void run(const kernels::GemmArgs& args) {
  const Product g = product_of(args);
  if (g.m == 0 || g.n == 0 || g.batches == 0) return;
  const int64_t tiles = (g.m + kTile - 1) / kTile * g.column_tiles;
  const Grid grid{dim3(static_cast<unsigned>(tiles),
                       static_cast<unsigned>(g.batches < kMostBatches ? g.batches : kMostBatches)),
                  dim3(kThreads)};
  launch(gemm_kernel<T, C>, grid, args.stream, static_cast<const T*>(args.a),
         static_cast<const T*>(args.b), static_cast<const T*>(args.bias), static_cast<C*>(args.c),
         static_cast<C*>(args.slope), g);
}

}  // namespace

void own_gemm(const kernels::GemmArgs& args) {
  dispatch_floating("gemm", args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (args.c_dtype == args.dtype) return run<T, T>(args);
    if (args.c_dtype == DType::f32) return run<T, float>(args);
    throw NotImplementedError("gemm: no CUDA kernel writes " + std::string(name_of(args.c_dtype)) +
                              " from " + std::string(name_of(args.dtype)));
  });
}

}  // namespace sing::cuda
