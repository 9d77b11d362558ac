#pragma once
// Tiles of 64 rows of up to 64 bf16 in shared memory, and the products of tiles by four warps with
// 16 rows each, for attention_mma.cu.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/tensor_core.h"

namespace sing::cuda {

constexpr int kTileRows = 64;
constexpr int kTileDim = 64;
constexpr int kTileThreads = 128;
constexpr int kPitch = kTileDim + 8;  // 144 bytes: eight rows begin in eight different bank groups
constexpr int kSlice = 16;            // depth of one instruction
constexpr int kSlices = kTileDim / kSlice;
constexpr int kParts = kTileDim / 8;  // packs of a row; columns of 8 of a product

using Tile = bfloat16[kTileRows][kPitch];
/// Rows of a tile from one of them on.
using Rows = bfloat16 (*)[kPitch];
using ConstRows = const bfloat16 (*)[kPitch];
/// A warp's 16 rows by 8 kCount columns of a product, as fragments of C.
template <int kCount>
using Fragments = float[kCount][4];
using Sums = Fragments<kParts>;
constexpr int kHalf = kParts / 2;  // a product by halves of its columns needs fewer registers

using Chunk = Pack<bfloat16, 8>;

/// `x`, of which the compiler does not know where it comes from: what is computed with it is
/// computed again in each turn of a loop, rather than kept in registers.
SING_DEVICE int again(int x) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}

/// Rows of one head, 16 bytes aligned.
struct HeadRows {
  const bfloat16* base;
  int64_t row, count;
};
template <class P>
SING_DEVICE P* head_of(P* data, const kernels::HeadStrides& strides, int64_t b, int64_t h) {
  return data + b * strides.batch + h * strides.head;
}

struct Lane {
  int warp, g, t, row;  // row: the first of the two rows of a fragment of C, in the tile
};
SING_DEVICE Lane lane_of() {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  return {warp, lane / 4, lane % 4, warp * kSlice + lane / 4};
}

/// Begins to copy rows first to first + 63 and `dim` columns; what does not exist is zero, and its
/// address is not used. dim % 8 == 0.
SING_DEVICE void load_rows(Rows tile, const HeadRows& from, int64_t first, int64_t dim) {
  const int thread = again(static_cast<int>(threadIdx.x)), r = thread / kParts, c = thread % kParts;
  const int count = static_cast<int>(from.count) - static_cast<int>(first);
  const bool column = c * 8 < static_cast<int>(dim);
  const bfloat16* const own = from.base + (first + r) * from.row + c * 8;
#pragma unroll
  for (int i = 0; i < kTileRows; i += kTileThreads / kParts)
    copy_async(&tile[r + i][c * 8], own + i * from.row, r + i < count && column);
}
/// After load_rows, before anybody reads.
SING_DEVICE void await_tiles() {
  await_copies();
  __syncthreads();
}

/// Fragment of A: the warp's 16 rows of a tile, columns 16 slice to 16 slice + 15.
SING_DEVICE void load_a(uint32_t (&a)[4], const Tile& tile, int slice) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices<false>(a, &tile[static_cast<int>(threadIdx.x) / kWarp * kSlice + lane % 16]
                               [slice * kSlice + lane / 16 * 8]);
}
/// The same of a tile that holds the transpose: the warp's 16 columns, rows of the slice.
SING_DEVICE void load_a_transposed(uint32_t (&a)[4], const Tile& tile, int slice) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices<true>(a, &tile[slice * kSlice + lane / 16 * 8 + lane % 8]
                              [static_cast<int>(threadIdx.x) / kWarp * kSlice + lane / 8 % 2 * 8]);
}

/// sums += A B' for one slice of depth, where B' has rows first and following of the tile as its
/// columns.
template <int kCount>
SING_DEVICE void add_by_rows(Fragments<kCount>& sums, const uint32_t (&a)[4], const Tile& tile,
                             int slice, int first) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < kCount; n += 2) {
    uint32_t b[4];
    load_matrices<false>(
        b, &tile[first + n * 8 + lane / 16 * 8 + lane % 8][slice * kSlice + lane / 8 % 2 * 8]);
    multiply_add(sums[n], a, b[0], b[1]);
    multiply_add(sums[n + 1], a, b[2], b[3]);
  }
}

/// sums += A B for one slice of depth, rows 16 slice to 16 slice + 15 of the tile.
SING_DEVICE void add_by_columns(Sums& sums, const uint32_t (&a)[4], const Tile& tile, int slice) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < kParts; n += 2) {
    uint32_t b[4];
    load_matrices<true>(b, &tile[slice * kSlice + lane % 16][n * 8 + lane / 16 * 8]);
    multiply_add(sums[n], a, b[0], b[1]);
    multiply_add(sums[n + 1], a, b[2], b[3]);
  }
}

/// sums = (the warp's 16 rows of `left`) * transpose of rows first and following of `right`.
template <int kCount>
SING_DEVICE void multiply_rows(Fragments<kCount>& sums, const Tile& left, const Tile& right,
                               int first = 0) {
#pragma unroll
  for (int n = 0; n < kCount; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[n][i] = 0;
#pragma unroll 2  // all four take registers that a third block per multiprocessor needs
  for (int slice = 0; slice < kSlices; ++slice) {
    uint32_t a[4];
    load_a(a, left, slice);
    add_by_rows(sums, a, right, slice, first);
  }
}

/// sums = (kStrips strips of 16 rows of `left`) * transpose of 8 kCount rows of `right`. What is
/// read of `right` serves all strips.
template <int kStrips, int kCount>
SING_DEVICE void multiply_strips(Fragments<kCount> (&sums)[kStrips], ConstRows left,
                                 ConstRows right) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int m = 0; m < kStrips; ++m)
#pragma unroll
    for (int n = 0; n < kCount; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][n][i] = 0;
#pragma unroll 2  // all four take registers that are not there
  for (int slice = 0; slice < kSlices; ++slice) {
    uint32_t a[kStrips][4];
#pragma unroll
    for (int m = 0; m < kStrips; ++m)
      load_matrices<false>(a[m], &left[m * kSlice + lane % 16][slice * kSlice + lane / 16 * 8]);
#pragma unroll
    for (int n = 0; n < kCount; n += 2) {
      uint32_t b[4];
      load_matrices<false>(
          b, &right[n * 8 + lane / 16 * 8 + lane % 8][slice * kSlice + lane / 8 % 2 * 8]);
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
        multiply_add(sums[m][n], a[m], b[0], b[1]);
        multiply_add(sums[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// sums += (fragments of A, one slice of depth) * 16 rows of a tile, 8 kCount columns.
template <int kStrips, int kCount>
SING_DEVICE void add_strips(Fragments<kCount> (&sums)[kStrips], const uint32_t (&a)[kStrips][4],
                            ConstRows tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < kCount; n += 2) {
    uint32_t b[4];
    load_matrices<true>(b, &tile[lane % 16][n * 8 + lane / 16 * 8]);
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
      multiply_add(sums[m][n], a[m], b[0], b[1]);
      multiply_add(sums[m][n + 1], a[m], b[2], b[3]);
    }
  }
}

/// Writes 16 rows of a product, of which a warp has the fragments, from row `first` on, times a
/// factor for each of the lane's two rows. `stage` is 16 rows that nobody else uses.
SING_DEVICE void store_strip(bfloat16* base, int64_t row_stride, int64_t count, int64_t first,
                             int64_t dim, const Sums& sums, float upper, float lower, Rows stage) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < kParts; ++n) {
    store_pair(&stage[g][n * 8 + 2 * t], sums[n][0] * upper, sums[n][1] * upper);
    store_pair(&stage[g + 8][n * 8 + 2 * t], sums[n][2] * lower, sums[n][3] * lower);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kSlice * kParts / kWarp; ++i) {
    const int r = lane / kParts + i * (kWarp / kParts), c = lane % kParts * 8;
    if (first + r < count && c < dim)
      *reinterpret_cast<Chunk*>(base + (first + r) * row_stride + c) =
          *reinterpret_cast<const Chunk*>(&stage[r][c]);
  }
}

/// The same for the four strips of a tile by four warps.
SING_DEVICE void store_rows(bfloat16* base, int64_t row_stride, int64_t count, int64_t first,
                            int64_t dim, const Sums& sums, float upper, float lower, Tile& stage) {
  const int strip = lane_of().warp * kSlice;
  store_strip(base, row_stride, count, first + strip, dim, sums, upper, lower, &stage[strip]);
}

/// grad . out of eight numbers of a row; the sum over the row in all lanes of eight.
SING_DEVICE float row_product(const Chunk& grad, const Chunk& out) {
  float sum = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) sum += to_value(grad.at[k]) * to_value(out.at[k]);
#pragma unroll
  for (int offset = kParts / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  return sum;
}

/// sum of grad . out over each row. `tile` is what load_rows began to fill with the rows of grad.
SING_DEVICE void row_products(float (&delta)[kTileRows], const Tile& tile, const HeadRows& out,
                              int64_t first, int64_t dim) {
  constexpr int kStep = kTileThreads / kParts;
  const int r = static_cast<int>(threadIdx.x) / kParts, c = static_cast<int>(threadIdx.x) % kParts;
  Chunk y[kTileRows / kStep] = {};
#pragma unroll
  for (int i = 0; i < kTileRows / kStep; ++i) {
    const int64_t row = first + r + i * kStep;
    if (row < out.count && c * 8 < dim)
      y[i] = *reinterpret_cast<const Chunk*>(out.base + row * out.row + c * 8);
  }
  await_copies();  // a thread reads back what it copied itself
#pragma unroll
  for (int i = 0; i < kTileRows / kStep; ++i) {
    const float sum =
        row_product(*reinterpret_cast<const Chunk*>(&tile[r + i * kStep][c * 8]), y[i]);
    if (c == 0) delta[r + i * kStep] = sum;
  }
}

}  // namespace sing::cuda
