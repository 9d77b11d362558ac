#include "backend/cpu/simd/gemm_tile.h"

namespace sing::kernels::SING_SIMD {
namespace {

/// sum + a b for every lane, of numbers or of pairs.
template <bool kPairs>
SING_INLINE vf multiply_add(vf a, vf b, vf sum) {
#if defined(__AVX512F__)
  if constexpr (kPairs) {  // as text, so that no more than this line needs AVX512_BF16
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
#endif
  return fma(a, b, sum);
}

template <int kRows, int kVectors, bool kARows, bool kPadded, bool kPairs>
void tile(const TileArgs& t) {
  vf sums[kRows][kVectors];
  const Mask last = first(t.n - (kVectors - 1) * kWidth);
  vf start[kVectors] = {};
  if (t.start != nullptr) {
#pragma GCC unroll 2
    for (int v = 0; v + 1 < kVectors; ++v) start[v] = load(t.start + v * kWidth);
    start[kVectors - 1] = load(t.start + (kVectors - 1) * kWidth, last);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[i][v] = start[v];
  const int64_t lda = t.lda;
  // Rows of A are reached from every third one: base + {0, 1, 2} * lda fits the addressing modes.
  constexpr int kBases = (kRows + 2) / 3;
  const float* rows[kBases];
#pragma GCC unroll 4
  for (int i = 0; i < kBases; ++i) rows[i] = t.a + 3 * i * lda;
  const float* a = t.a;
  const float* b = t.b;
  for (int64_t p = 0; p < t.k; ++p) {
    vf right[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v + 1 < kVectors; ++v) right[v] = load(b + v * kWidth);
    if constexpr (kPadded)
      right[kVectors - 1] = load(b + (kVectors - 1) * kWidth);
    else
      right[kVectors - 1] = load(b + (kVectors - 1) * kWidth, last);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const vf left = set1(kARows ? rows[i / 3][(i % 3) * lda] : a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        sums[i][v] = multiply_add<kPairs>(left, right[v], sums[i][v]);
    }
    b += t.ldb;
    if constexpr (kARows) {
#pragma GCC unroll 4
      for (int i = 0; i < kBases; ++i) ++rows[i];
    } else {
      a += lda;
    }
  }
  float* c = t.c;
  if constexpr (kPairs) {
    if (t.narrow != nullptr) {
      uint16_t* to = t.narrow;
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i, c += t.ldc, to += t.ld_narrow) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          const Mask lanes = v + 1 < kVectors ? first(kWidth) : last;
          const vf before = t.add ? load(c + v * kWidth, lanes) : vf{};
          store_narrow(to + v * kWidth, t.add ? before + sums[i][v] : sums[i][v], lanes);
        }
      }
      return;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i, c += t.ldc) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* to = c + v * kWidth;
      if (v + 1 < kVectors) {
        store(to, t.add ? load(to) + sums[i][v] : sums[i][v]);
      } else {
        store(to, t.add ? load(to, last) + sums[i][v] : sums[i][v], last);
      }
    }
  }
}

template <int kVectors, bool kARows, bool kPadded, bool kPairs>
TileKernel by_rows(int64_t rows) {
  switch (rows) {
#define SING_TILE(n) \
  case n:            \
    return tile<n, kVectors, kARows, kPadded, kPairs>;
    SING_TILE(1)
    SING_TILE(2)
    SING_TILE(3)
    SING_TILE(4)
    SING_TILE(5)
#if defined(__AVX512F__)
    SING_TILE(6)
    SING_TILE(7)
    SING_TILE(8)
    SING_TILE(9)
    SING_TILE(10)
    SING_TILE(11)
#endif
#undef SING_TILE
    default:
      return tile<kTileRows, kVectors, kARows, kPadded, kPairs>;
  }
}

template <bool kARows, bool kPadded, bool kPairs = false>
TileKernel by_columns(int64_t rows, int64_t columns) {
  return columns <= kWidth ? by_rows<1, kARows, kPadded, kPairs>(rows)
                           : by_rows<2, kARows, kPadded, kPairs>(rows);
}

template <int... kLane>
struct Lanes {};
#if defined(__AVX512F__)
using AllLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
#else
using AllLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7>;
#endif

/// Swaps the upper right and lower left kBlock x kBlock corners of every square of two such blocks.
template <int kBlock, int... kLane>
SING_INLINE void swap_blocks(vf (&r)[kWidth], Lanes<kLane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) {
    if ((i & kBlock) != 0) continue;
    const vf x = r[i], y = r[i + kBlock];
    r[i] =
        __builtin_shufflevector(x, y, ((kLane & kBlock) == 0 ? kLane : kWidth + kLane - kBlock)...);
    r[i + kBlock] =
        __builtin_shufflevector(x, y, ((kLane & kBlock) == 0 ? kLane + kBlock : kWidth + kLane)...);
  }
}

/// r[i][j] becomes r[j][i].
SING_INLINE void transpose(vf (&r)[kWidth]) {
  swap_blocks<1>(r, AllLanes{});
  swap_blocks<2>(r, AllLanes{});
  swap_blocks<4>(r, AllLanes{});
#if defined(__AVX512F__)
  swap_blocks<8>(r, AllLanes{});
#endif
}

/// A square of B^T, columns x depth, to depth rows of a panel; whole, or with zeros for what lacks.
template <bool kWhole, class T>
SING_INLINE void pack_square(float* to, const T* b, int64_t column, int64_t columns,
                             int64_t depth) {
  const Mask lanes = first(depth);
  vf square[kWidth];
#pragma GCC unroll 16
  for (int j = 0; j < kWidth; ++j)
    square[j] = kWhole || j < columns ? load_any(b + j * column, lanes) : vf{};
  transpose(square);
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i)
    if (kWhole || i < depth) store(to + i * kTileColumns, square[i]);
}

template <class T>
void pack(float* packed, const T* b, int64_t row, int64_t column, int64_t k, int64_t n) {
  // A panel of one vector or less is read by tiles of one vector only: its right half stays unset.
  const int64_t left = n < kWidth ? n : kWidth, right = n - left;
  if (column == 1) {
    const Mask first_lanes = first(left), second_lanes = first(right);
    for (int64_t p = 0; p < k; ++p, b += row, packed += kTileColumns) {
      store(packed, load_any(b, first_lanes));
      if (right > 0) store(packed + kWidth, load_any(b + kWidth, second_lanes));
    }
    return;
  }
  if (row != 1) {
    for (int64_t p = 0; p < k; ++p, b += row, packed += kTileColumns)
      for (int64_t j = 0; j < kTileColumns; ++j) packed[j] = j < n ? value_of(b[j * column]) : 0.0f;
    return;
  }
  for (int64_t p = 0; p < k; p += kWidth) {
    const int64_t depth = k - p < kWidth ? k - p : kWidth;
    for (int64_t half = 0; half < n; half += kWidth) {
      const int64_t columns = n - half < kWidth ? n - half : kWidth;
      const T* from = b + half * column + p;
      float* to = packed + p * kTileColumns + half;
      if (columns == kWidth && depth == kWidth)
        pack_square<true>(to, from, column, columns, depth);
      else
        pack_square<false>(to, from, column, columns, depth);
    }
  }
}

#if defined(__AVX512F__)

/// Two rows of bf16 as one vector of pairs, `low` in the lower halves.
SING_INLINE vf interleave(const uint16_t* low, const uint16_t* high, Mask lanes, bool has_high) {
  const __m512i upper =
      has_high ? _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, high)), 16)
               : _mm512_setzero_si512();
  const __m512i lower = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low));
  return _mm512_castsi512_ps(_mm512_or_si512(lower, upper));
}

/// `count` neighbouring bf16 numbers (at most 2 * kWidth), zeros behind them.
SING_INLINE vf load_pairs(const uint16_t* from, int64_t count) {
  const __mmask32 lanes = count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(lanes, from));
}

/// Columns of pairs, each a dense run of k numbers, become rows of `step` elements.
SING_INLINE void transpose_pairs(float* packed, int64_t step, const uint16_t* from, int64_t column,
                                 int64_t k, int64_t columns) {
  const Mask lanes = first(step - kWidth < 0 ? step : kWidth);
  for (int64_t p = 0; p < k; p += 2 * kWidth) {
    vf square[kWidth];
#pragma GCC unroll 16
    for (int j = 0; j < kWidth; ++j)
      square[j] = j < columns ? load_pairs(from + j * column + p, k - p) : vf{};
    transpose(square);
    float* to = packed + p / 2 * step;
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i)
      if (p + 2 * i < k) store(to + i * step, square[i], lanes);
  }
}

#endif

}  // namespace

TileKernel tile_kernel(int64_t rows, int64_t columns, bool a_in_rows, bool padded) {
  if (a_in_rows)
    return padded ? by_columns<true, true>(rows, columns) : by_columns<true, false>(rows, columns);
  return padded ? by_columns<false, true>(rows, columns) : by_columns<false, false>(rows, columns);
}

void multiply(const PanelProduct& p) {
  TileArgs t{};
  t.lda = p.lda;
  t.ldb = p.ldb;
  t.k = p.k;
  t.ldc = p.ldc;
  t.add = p.add;
  t.ld_narrow = p.ld_narrow;
  for (int64_t i = 0; i < p.m; i += kTileRows) {
    const int64_t rows = p.m - i < kTileRows ? p.m - i : kTileRows;
    t.a = p.a_in_rows ? p.a + i * p.lda : p.a + i;
    for (int64_t j = 0, panel = 0; j < p.n; j += kTileColumns, ++panel) {
      t.n = p.n - j < kTileColumns ? p.n - j : kTileColumns;
      t.b = p.b + panel * p.panel;
      t.c = p.c + i * p.ldc + j;
      if (p.narrow != nullptr) t.narrow = p.narrow + i * p.ld_narrow + j;
      if (p.pairs)
        pair_kernel(rows, t.n, p.a_in_rows)(t);
      else
        tile_kernel(rows, t.n, p.a_in_rows, p.padded)(t);
    }
  }
}

void pack_panel(float* packed, const void* b, bool bf16, int64_t row, int64_t column, int64_t k,
                int64_t n) {
  if (bf16)
    pack(packed, static_cast<const uint16_t*>(b), row, column, k, n);
  else
    pack(packed, static_cast<const float*>(b), row, column, k, n);
}

#if defined(__AVX512F__)

bool multiplies_pairs() {
  static const bool can = __builtin_cpu_supports("avx512bf16") != 0;
  return can;
}

TileKernel pair_kernel(int64_t rows, int64_t columns, bool a_in_rows) {
  return a_in_rows ? by_columns<true, true, true>(rows, columns)
                   : by_columns<false, true, true>(rows, columns);
}

void pack_pairs(float* packed, const uint16_t* b, int64_t row, int64_t column, int64_t k,
                int64_t n) {
  for (int64_t half = 0; half < n; half += kWidth) {  // as in pack: no right half, nothing set
    const int64_t columns = n - half < kWidth ? n - half : kWidth;
    const uint16_t* from = b + half * column;
    if (column != 1) {
      transpose_pairs(packed + half, kTileColumns, from, column, k, columns);
      continue;
    }
    for (int64_t p = 0; p < k; p += 2, from += 2 * row)
      store(packed + p / 2 * kTileColumns + half,
            interleave(from, from + row, first(columns), p + 1 < k));
  }
}

void pack_left_pairs(float* packed, const uint16_t* a, int64_t row, int64_t column, int64_t k,
                     int64_t rows) {
  if (row == 1) {
    for (int64_t p = 0; p < k; p += 2, a += 2 * column)
      store(packed + p / 2 * kTileRows, interleave(a, a + column, first(rows), p + 1 < k));
  } else {
    transpose_pairs(packed, kTileRows, a, row, k, rows);
  }
}

#else

bool multiplies_pairs() {
  return false;
}
TileKernel pair_kernel(int64_t, int64_t, bool) {
  return nullptr;
}
void pack_pairs(float*, const uint16_t*, int64_t, int64_t, int64_t, int64_t) {}
void pack_left_pairs(float*, const uint16_t*, int64_t, int64_t, int64_t, int64_t) {}

#endif

}  // namespace sing::kernels::SING_SIMD
