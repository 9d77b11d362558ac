#pragma once
// The register tile under every matrix product: C (mr x nr) = or += A (mr x k) B (k x nr).
#include "backend/cpu/simd/simd.h"

namespace sing::kernels::SING_SIMD {

#if defined(__AVX512F__)
constexpr int kTileRows = 12;  // 24 accumulators of 32 registers; 12 divides the usual dimensions
#else
constexpr int kTileRows = 6;  // 12 accumulators of 16 registers
#endif
constexpr int kTileColumns = 2 * kWidth;  // one panel of B

namespace {
/// To bf16 as store_bf16 rounds, for kernels that multiply pairs: they have the instruction for it.
/// Subnormal numbers become zero, as in the products.
SING_INLINE void store_narrow(uint16_t* to, vf x, Mask lanes) {
#if defined(__AVX512F__)
  __m256i bits;
  asm("vcvtneps2bf16 %1, %0" : "=v"(bits) : "v"(x));
  _mm256_mask_storeu_epi16(to, lanes, bits);
#else
  store_bf16(to, x, lanes);
#endif
}
}  // namespace

/// k products per element, one fused multiply-add after the other from p = 0 upwards, on top of
/// start[j]; the sum is then stored, or added to what is there.
///
/// The kernels for pairs multiply bf16 numbers: each 32-bit element of a and b holds those of depth
/// 2p (lower half) and 2p + 1, each product is exact and added in f32, the odd depth first.
struct TileArgs {
  const float* a;  // rows: a[i * lda + p]; else columns: a[p * lda + i]
  int64_t lda;
  const float* b;  // b[p * ldb + j]
  int64_t ldb;
  int64_t k;
  const float* start;  // n values, or nullptr for zeros
  float* c;            // c[i * ldc + j]
  int64_t ldc;
  int64_t n;  // columns, 1..kTileColumns
  bool add;
  uint16_t* narrow;  // pairs only: where the sums go as bf16 instead of c; or nullptr
  int64_t ld_narrow;
};
using TileKernel = void (*)(const TileArgs&);

/// `rows` of A in 1..kTileRows. With `padded`, B may be read up to a full vector beyond column n.
TileKernel tile_kernel(int64_t rows, int64_t columns, bool a_in_rows, bool padded);
/// The same for pairs; B must be packed.
TileKernel pair_kernel(int64_t rows, int64_t columns, bool a_in_rows);
/// Whether pair_kernel may be called: it takes AVX512_BF16.
bool multiplies_pairs();

/// C (m x n) = or += A B for B in panels of kTileColumns: element (p, j) of panel q is
/// b[q * panel + p * ldb + j].
struct PanelProduct {
  const float* a;
  int64_t lda;
  bool a_in_rows;
  const float* b;
  int64_t panel, ldb;
  bool padded;
  float* c;
  int64_t ldc;
  int64_t m, n, k;
  bool add;
  bool pairs = false;  // k pairs each; then `padded`, and `narrow` may be given
  uint16_t* narrow = nullptr;
  int64_t ld_narrow = 0;
};
void multiply(const PanelProduct& p);

/// Number of floats that pack_columns and pack_rows write for k x n: whole vectors.
inline int64_t packed_size(int64_t k, int64_t n) {
  return (n + kTileColumns - 1) / kTileColumns * kTileColumns * k;
}
/// One panel of B (n <= kTileColumns columns) as packed[p * kTileColumns + j], zero padded.
/// b(p, j) = b[p * row + j * column], elements of f32 or (bf16) of bfloat16 bits.
void pack_panel(float* packed, const void* b, bool bf16, int64_t row, int64_t column, int64_t k,
                int64_t n);
/// One panel of a bf16 matrix as pairs: k depths become (k + 1) / 2 elements, zero padded. `row` or
/// `column` is 1; the same below.
void pack_pairs(float* packed, const uint16_t* b, int64_t row, int64_t column, int64_t k,
                int64_t n);
/// A tile of A (rows <= kTileRows) as pairs packed[p * kTileRows + i], zero padded.
void pack_left_pairs(float* packed, const uint16_t* a, int64_t row, int64_t column, int64_t k,
                     int64_t rows);

}  // namespace sing::kernels::SING_SIMD
