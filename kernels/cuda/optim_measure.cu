// Norms of all gradients in one launch, with the means of their rows: a piece is read once and held
// in registers while its mean is taken and then the squares of what is left. Sums are in double, so
// that a constant row leaves exactly nothing.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/optim.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {
namespace {

constexpr int kWarps = kOptimThreads / kWarp;
constexpr int kPacks = kPieceElements / kOptimThreads / 4;  // 16-byte packs of a thread
constexpr int kWarpRow = kPacks * 4 * kWarp;                // longest row that one warp holds
constexpr int kMergeThreads = 256;

/// The sum over a group of threads, in every thread of it.
template <bool kBlock>
SING_DEVICE double group_sum(double value) {
  if constexpr (kBlock)
    return block_reduce(value, 0.0);
  else
    return warp_reduce(value);
}

/// Measures the `length` elements at x with a group of threads: a warp, or the block.
template <bool kBlock, int N>
SING_DEVICE RowNumbers measure_row(const float* x, int length, bool centre) {
  constexpr int kGroup = kBlock ? kOptimThreads : kWarp;
  const int thread = static_cast<int>(threadIdx.x) % kGroup;
  constexpr int kLoads = kPacks * 4 / N;
  Pack<float, N> held[kLoads];
#pragma unroll
  for (int k = 0; k < kLoads; ++k) {
    const int at = (k * kGroup + thread) * N;
    if (at + N <= length)
      held[k] = *reinterpret_cast<const Pack<float, N>*>(x + at);
    else
#pragma unroll
      for (int e = 0; e < N; ++e) held[k].at[e] = 0;
  }
  double mean = 0;
  if (centre) {
    double sum = 0;
#pragma unroll
    for (int k = 0; k < kLoads; ++k)
#pragma unroll
      for (int e = 0; e < N; ++e) sum += static_cast<double>(held[k].at[e]);
    mean = group_sum<kBlock>(sum) / length;
  }
  const float high = static_cast<float>(mean);
  const float low = static_cast<float>(mean - static_cast<double>(high));
  double squares = 0;
#pragma unroll
  for (int k = 0; k < kLoads; ++k) {
    if ((k * kGroup + thread) * N + N > length) continue;
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const double rest = static_cast<double>((held[k].at[e] - high) - low);
      squares += rest * rest;
    }
  }
  return {mean, group_sum<kBlock>(squares)};
}

template <bool kBlock>
SING_DEVICE RowNumbers measure_any(const float* x, int length, bool centre) {
  const bool packs = length % 4 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
  return packs ? measure_row<kBlock, 4>(x, length, centre)
               : measure_row<kBlock, 1>(x, length, centre);
}

__global__ void __launch_bounds__(kOptimThreads) measure_kernel(const MeasureLaunch a) {
  __shared__ double totals[2][kWarps];
  const MeasurePiece piece = a.pieces[blockIdx.x];
  const auto* source = static_cast<const float*>(a.sources[piece.tensor]);
  if (source == nullptr) return;
  const MeasureLayout& layout = a.layouts[piece.tensor];
  const float* const x = source + piece.first;
  RowNumbers* const out = (layout.cuts > 1 ? a.cuts : a.rows) + piece.slot;
  const bool centre = piece.centre != 0;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  double squares = 0, raw = 0;
  const auto add = [&](const RowNumbers& row) {
    squares += row.squares;
    raw += row.squares + piece.length * row.mean * row.mean;
  };
  if (piece.length > kWarpRow) {
    for (int row = 0; row < piece.rows; ++row) {
      const RowNumbers numbers =
          measure_any<true>(x + static_cast<int64_t>(row) * piece.length, piece.length, centre);
      if (threadIdx.x == 0) out[row] = numbers;
      if (warp == 0) add(numbers);
    }
  } else {
    for (int row = warp; row < piece.rows; row += kWarps) {
      const RowNumbers numbers = measure_any<false>(x + row * piece.length, piece.length, centre);
      if (threadIdx.x % kWarp == 0) out[row] = numbers;
      add(numbers);
    }
  }
  if (threadIdx.x % kWarp == 0) {
    totals[0][warp] = squares;
    totals[1][warp] = raw;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  double* const partial = a.partials + 2 * static_cast<int64_t>(blockIdx.x);
  partial[0] = partial[1] = 0;
  for (int w = 0; w < kWarps; ++w) {
    partial[0] += totals[0][w];
    partial[1] += totals[1][w];
  }
}

/// Puts the cuts of a row together after Chan, Golub and LeVeque; by differences to the first mean,
/// so that equal means give exactly that mean.
template <bool kBlock>
SING_DEVICE RowNumbers merge_cuts(const RowNumbers* cuts, const MeasureLayout& layout) {
  const int group = kBlock ? static_cast<int>(blockDim.x) : kWarp;
  const int64_t thread = static_cast<int64_t>(threadIdx.x) % group;
  const auto sum = [](double value) { return group_sum<kBlock>(value); };
  const auto length = [&](int64_t cut) {
    const int64_t rest = layout.row_length - cut * kPieceElements;
    return static_cast<double>(rest < kPieceElements ? rest : kPieceElements);
  };
  const double first = cuts[0].mean;
  double shift = 0;
  for (int64_t cut = thread; cut < layout.cuts; cut += group)
    shift += length(cut) * (cuts[cut].mean - first);
  const double mean = first + sum(shift) / static_cast<double>(layout.row_length);
  double squares = 0;
  for (int64_t cut = thread; cut < layout.cuts; cut += group) {
    const double d = cuts[cut].mean - mean;
    squares += cuts[cut].squares + length(cut) * d * d;
  }
  return {mean, sum(squares)};
}

/// One block per tensor.
__global__ void __launch_bounds__(kMergeThreads) merge_kernel(const MeasureLaunch a) {
  const int64_t tensor = blockIdx.x;
  if (a.sources[tensor] == nullptr) return;
  const MeasureLayout layout = a.layouts[tensor];
  double squares = 0, raw = 0;
  if (layout.cuts > 1 && layout.centre != 0) {
    RowNumbers* const rows = a.rows + layout.first_row;
    const RowNumbers* const cuts = a.cuts + layout.first_cut;
    const auto n = static_cast<double>(layout.row_length);
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    const bool by_block = layout.rows < warps;
    const int64_t first = by_block ? 0 : threadIdx.x / kWarp;
    for (int64_t row = first; row < layout.rows; row += by_block ? 1 : warps) {
      const RowNumbers* const own = cuts + row * layout.cuts;
      const RowNumbers merged =
          by_block ? merge_cuts<true>(own, layout) : merge_cuts<false>(own, layout);
      if (threadIdx.x % (by_block ? blockDim.x : kWarp) != 0) continue;
      rows[row] = merged;
      squares += merged.squares;
      raw += merged.squares + n * merged.mean * merged.mean;
    }
  } else {
    if (layout.cuts > 1)  // norms of long rows
      for (int64_t row = threadIdx.x; row < layout.rows; row += blockDim.x) {
        RowNumbers sum{0, 0};
        // One row takes its total below.
        if (layout.rows > 1)
          for (int64_t cut = 0; cut < layout.cuts; ++cut)
            sum.squares += a.cuts[layout.first_cut + row * layout.cuts + cut].squares;
        a.rows[layout.first_row + row] = sum;
      }
    for (int64_t p = threadIdx.x; p < layout.pieces; p += blockDim.x) {
      squares += a.partials[2 * (layout.first_piece + p)];
      raw += a.partials[2 * (layout.first_piece + p) + 1];
    }
  }
  squares = block_reduce(squares, 0.0);
  raw = block_reduce(raw, 0.0);
  if (threadIdx.x != 0) return;
  if (layout.cuts > 1 && layout.centre == 0 && layout.rows == 1)
    a.rows[layout.first_row].squares = squares;
  const double norm = std::sqrt(squares);
  a.out[tensor] = {layout.centre != 0 ? std::sqrt(raw) : norm, norm};
}

}  // namespace

void measure_tensors(const MeasureLaunch& a) {
  if (a.piece_count > 0)
    launch(measure_kernel, Grid{dim3(static_cast<unsigned>(a.piece_count)), dim3(kOptimThreads), 0},
           a.stream, a);
  if (a.tensors > 0)
    launch(merge_kernel, Grid{dim3(static_cast<unsigned>(a.tensors)), dim3(kMergeThreads), 0},
           a.stream, a);
}

}  // namespace sing::cuda
