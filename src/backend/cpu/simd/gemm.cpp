// Matrix products in f32, and of bf16 operands: as pairs where the processor multiplies these
// (AVX512_BF16), else widened while they are packed.
//
// B is packed once into panels of kTileColumns columns, shared by all chunks, unless its rows are
// short and dense: these are read in place. A chunk is a block of rows and columns of C; inside it
// a slice of K whose part of B fits the L2 cache is finished for all rows before the next one. A is
// read in place whichever way it lies, or copied tile by tile when it is bf16 or has a stride that
// would land a whole tile in one cache set.
#include "kernels/gemm.h"

#include <cpuid.h>

#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/gemm_finish.h"
#include "backend/cpu/simd/gemm_tile.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kSliceDepth = 512;         // of K: with 256 columns of B half of a 1 MB L2 cache
constexpr int64_t kChunkColumns = 256;       // of C in one chunk
constexpr int64_t kPairColumns = 384;        // the same for pairs: their part of B is half as large
constexpr int64_t kChunkProducts = 1 << 19;  // multiply-adds in one chunk, about: 5-10 us
constexpr int64_t kShortRow = 256;        // floats: rows of B up to here are as good as packed ones
constexpr int64_t kPackFloats = 1 << 15;  // of B packed in one chunk
constexpr int64_t kRowsAtOnce = 8;        // of B packed into one panel before the next panel
constexpr int64_t kLine = 64;             // bytes of a cache line
constexpr int64_t kRowPadding = 16;       // floats between copied rows of A, against set conflicts

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}
int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

struct Plan {
  bool pairs = false;  // two depths of K are one element of the packed operands and one step
  int64_t k = 0;       // steps
  int64_t batches = 1;
  int64_t slices = 1, depth = 0;  // of the steps
  int64_t chunk_rows = 0, chunk_columns = 0;
  int64_t row_chunks = 0, column_chunks = 0;
  int64_t panels = 0;
  int64_t b_batches = 1;      // different matrices B
  int64_t packed_stride = 0;  // floats between them
  bool b_in_place = false;    // read from the operand itself

  int64_t numbers() const { return pairs ? 2 : 1; }  // of K in a step
};

Plan make_plan(const GemmArgs& g, bool pairs) {
  Plan plan;
  plan.pairs = pairs;
  plan.k = pairs ? divide_up(g.k, 2) : g.k;
  for (int i = 0; i < g.batch_rank; ++i) plan.batches *= g.batch[i];
  bool shared_b = true;
  for (int i = 0; i < g.batch_rank; ++i)
    shared_b = shared_b && (g.b_batch[i] == 0 || g.batch[i] == 1);
  plan.b_batches = shared_b ? 1 : plan.batches;
  plan.slices = plan.k > kSliceDepth ? divide_up(plan.k, kSliceDepth) : 1;
  plan.depth = round_up(divide_up(plan.k, plan.slices), 8);
  if (plan.depth > plan.k) plan.depth = plan.k;
  plan.panels = divide_up(g.n, kTileColumns);
  plan.packed_stride = plan.panels * kTileColumns * plan.k;
  plan.b_in_place = g.dtype == DType::f32 && g.b_col == 1 && g.b_row <= kShortRow;
  plan.chunk_columns = smaller(round_up(g.n, kTileColumns), pairs ? kPairColumns : kChunkColumns);
  plan.column_chunks = divide_up(g.n, plan.chunk_columns);
  const int64_t row_cost = smaller(g.n, plan.chunk_columns) * (plan.k > 0 ? plan.k : 1);
  int64_t rows = round_up(kChunkProducts / (row_cost > 0 ? row_cost : 1) + 1, kTileRows);
  // A small matrix is cut into at least eight chunks, a long one not below four tiles of rows.
  const int64_t whole = g.m * g.n * plan.k * plan.batches;
  if (whole < kChunkProducts) {
    rows = g.m;
  } else if (rows < 4 * kTileRows) {
    const int64_t eighth = round_up(divide_up(g.m, 8), kTileRows);
    rows = smaller(4 * kTileRows, eighth > rows ? eighth : rows);
    if (plan.batches > 1 && rows < 4 * kTileRows) rows = 4 * kTileRows;
  }
  plan.chunk_rows = smaller(rows, g.m);
  plan.row_chunks = divide_up(g.m, plan.chunk_rows);
  return plan;
}

/// Element offsets of one batch index.
struct Offsets {
  int64_t a = 0, b = 0, c = 0;
};
Offsets offsets_of(const GemmArgs& g, int64_t index) {
  Offsets o;
  for (int i = g.batch_rank; i-- > 0;) {
    const int64_t at = index % g.batch[i];
    index /= g.batch[i];
    o.a += at * g.a_batch[i];
    o.b += at * g.b_batch[i];
    o.c += at * g.c_batch[i];
  }
  return o;
}

const char* element(const void* base, DType dtype, int64_t index) {
  return static_cast<const char*>(base) + index * (dtype == DType::bf16 ? 2 : 4);
}

/// Panels of all matrices B. Work is cut along K, and each piece passes over its panels, so that
/// dense rows of B are read one after the other.
void pack_b(const GemmArgs& g, const Plan& plan, float* packed) {
  const int64_t depth = round_up(kPackFloats / (plan.panels * kTileColumns) + 1, kWidth);
  const int64_t pieces = plan.k > 0 ? divide_up(plan.k, depth) : 0;
  parallel_for(plan.b_batches * pieces, [&](int64_t chunk) {
    const int64_t batch = chunk / pieces, p = chunk % pieces * depth;
    const int64_t rows = smaller(depth, plan.k - p);
    const int64_t step = g.b_col == 1 ? kRowsAtOnce : rows;
    for (int64_t r = 0; r < rows; r += step)
      for (int64_t panel = 0; panel < plan.panels; ++panel) {
        const int64_t column = panel * kTileColumns, columns = smaller(kTileColumns, g.n - column);
        const int64_t at = p + r, some = smaller(step, rows - r), first_k = at * plan.numbers();
        const void* from =
            element(g.b, g.dtype, offsets_of(g, batch).b + first_k * g.b_row + column * g.b_col);
        float* to = packed + batch * plan.packed_stride + column * plan.k + at * kTileColumns;
        if (plan.pairs)
          pack_pairs(to, static_cast<const uint16_t*>(from), g.b_row, g.b_col,
                     smaller(2 * some, g.k - first_k), columns);
        else
          pack_panel(to, from, g.dtype == DType::bf16, g.b_row, g.b_col, some, columns);
      }
  });
}

/// Whether tiles of A are read from copies: bf16, no dense dimension, or a stride of whole pages,
/// which lands all rows of a tile (all columns of a slice) in one set of the first cache. A
/// multiple of half a page takes two sets, and reading in place is then the cheaper way (measured).
bool needs_copy(const GemmArgs& g) {
  if (g.dtype == DType::bf16 || (g.a_col != 1 && g.a_row != 1)) return true;
  return (g.a_col == 1 ? g.a_row : g.a_col) % 1024 == 0;
}

/// `depth` columns of a few transposed rows, as buffer[p * kTileRows + i].
template <class T>
void copy_columns(const T* from, int64_t step, int64_t rows, int64_t depth, float* buffer) {
  const Mask lanes = first(smaller(rows, kWidth));  // a vector holds any tile of rows
  for (int64_t p = 0; p < depth; ++p)
    store(buffer + p * kTileRows, load_any(from + p * step, lanes));
}

template <class T>
void copy_row(const T* from, int64_t step, int64_t depth, float* to) {
  if (step == 1)
    for (int64_t p = 0; p < depth; p += kWidth)
      store(to + p, load_any(from + p, first(smaller(kWidth, depth - p))));
  else
    for (int64_t p = 0; p < depth; ++p) to[p] = value_of(from[p * step]);
}

/// Where a tile of A is read: in place, or from a copy.
struct Left {
  const float* a;
  int64_t lda;
  bool in_rows;
};

/// Pairs are read in place from dense rows of an even, aligned number of them.
Left left_pairs(const GemmArgs& g, int64_t at, int64_t rows, int64_t numbers, float* buffer) {
  const uint16_t* a = static_cast<const uint16_t*>(g.a) + at;
  if (g.a_col == 1 && numbers % 2 == 0 && g.a_row % 2 == 0 && g.a_row % 2048 != 0 &&
      reinterpret_cast<uintptr_t>(a) % sizeof(float) == 0)
    return {reinterpret_cast<const float*>(a), g.a_row / 2, true};
  pack_left_pairs(buffer, a, g.a_row, g.a_col, numbers, rows);
  return {buffer, kTileRows, false};
}

Left left_tile(const GemmArgs& g, int64_t at, int64_t rows, int64_t depth, float* buffer) {
  if (!needs_copy(g)) {
    const bool rows_dense = g.a_col == 1;
    return {static_cast<const float*>(g.a) + at, rows_dense ? g.a_row : g.a_col, rows_dense};
  }
  const bool bf16 = g.dtype == DType::bf16;
  const float* wide = static_cast<const float*>(g.a) + at;
  const uint16_t* narrow = static_cast<const uint16_t*>(g.a) + at;
  if (g.a_row == 1 && g.a_col != 1) {
    if (bf16)
      copy_columns(narrow, g.a_col, rows, depth, buffer);
    else
      copy_columns(wide, g.a_col, rows, depth, buffer);
    return {buffer, kTileRows, false};
  }
  const int64_t stride = depth + kRowPadding;
  for (int64_t i = 0; i < rows; ++i) {
    if (bf16)
      copy_row(narrow + i * g.a_row, g.a_col, depth, buffer + i * stride);
    else
      copy_row(wide + i * g.a_row, g.a_col, depth, buffer + i * stride);
  }
  return {buffer, stride, true};
}

/// What one tile of C is added to, and how.
struct Sums {
  float* at;
  int64_t stride;
  bool add, add_old;
};

/// Whether the last slice writes bf16 results itself: nothing follows, and the bias is where the
/// first slice starts.
bool writes_narrow(const GemmArgs& g, const Plan& plan) {
  return plan.pairs && g.c_dtype == DType::bf16 && g.epilogue == Epilogue::none &&
         g.slope == nullptr && !g.accumulate;
}

/// Sums of earlier slices wait in C itself, or in `wide` when C is narrower than f32. One slice
/// with something to finish needs neither: a buffer does.
Sums sums_of(const GemmArgs& g, const Plan& plan, float* wide, float* buffer, bool finishing,
             int64_t slice, int64_t c_at, int64_t wide_at) {
  const bool more = slice > 0;
  if (finishing && plan.slices == 1) return {buffer, kTileColumns, false, g.accumulate};
  if (wide != nullptr) return {wide + wide_at, g.n, more, g.accumulate};
  return {static_cast<float*>(g.c) + c_at, g.c_row, g.accumulate || more, false};
}

void run_chunk(const GemmArgs& g, const Plan& plan, const float* packed, float* wide,
               int64_t chunk) {
  // Rows run fastest: neighbouring chunks find the same part of B in the cache.
  const int64_t row_chunk = chunk % plan.row_chunks;
  const int64_t column_chunk = chunk / plan.row_chunks % plan.column_chunks;
  const int64_t batch = chunk / plan.row_chunks / plan.column_chunks;
  const Offsets at = offsets_of(g, batch);
  const int64_t row_begin = row_chunk * plan.chunk_rows;
  const int64_t row_end = smaller(g.m, row_begin + plan.chunk_rows);
  const int64_t column_begin = column_chunk * plan.chunk_columns;
  const int64_t column_end = smaller(g.n, column_begin + plan.chunk_columns);
  const bool narrow = writes_narrow(g, plan);
  // A bias with nothing behind it is where the first slice starts its sums.
  const bool plain = narrow || (g.epilogue == Epilogue::none && g.slope == nullptr &&
                                wide == nullptr && g.dtype == DType::f32);
  const bool finishing = !plain && (g.bias != nullptr || g.epilogue != Epilogue::none ||
                                    g.slope != nullptr || wide != nullptr);
  alignas(64) float wide_bias[kPairColumns];
  const float* start = plain ? static_cast<const float*>(g.bias) : nullptr;
  if (start != nullptr && narrow) {
    copy_row(static_cast<const uint16_t*>(g.bias) + column_begin, 1, column_end - column_begin,
             wide_bias);
    start = wide_bias - column_begin;
  }
  alignas(64) float copy[kTileRows * (kSliceDepth + kRowPadding) + kWidth];
  alignas(64) float buffer[kTileRows * kTileColumns];
  TileArgs t{};
  // The part of B for column j and depth p is at base + j * across + p * t.ldb.
  t.ldb = plan.b_in_place ? g.b_row : kTileColumns;
  const int64_t across = plan.b_in_place ? 1 : plan.k;
  const float* base = plan.b_in_place      ? static_cast<const float*>(g.b) + at.b
                      : plan.b_batches > 1 ? packed + batch * plan.packed_stride
                                           : packed;
  for (int64_t slice = 0; slice < plan.slices; ++slice) {
    const int64_t p = slice * plan.depth;
    t.k = smaller(plan.depth, plan.k - p);
    const bool last = slice + 1 == plan.slices;
    for (int64_t i = row_begin; i < row_end; i += kTileRows) {
      const int64_t rows = smaller(kTileRows, row_end - i);
      const int64_t a_at = at.a + i * g.a_row + p * plan.numbers() * g.a_col;
      const Left left = plan.pairs ? left_pairs(g, a_at, rows, smaller(2 * t.k, g.k - 2 * p), copy)
                                   : left_tile(g, a_at, rows, t.k, copy);
      t.a = left.a;
      t.lda = left.lda;
      for (int64_t j = column_begin; j < column_end; j += kTileColumns) {
        t.n = smaller(kTileColumns, column_end - j);
        t.b = base + j * across + p * t.ldb;
        const int64_t c_at = at.c + i * g.c_row + j;
        const Sums sums =
            sums_of(g, plan, wide, buffer, finishing, slice, c_at, (batch * g.m + i) * g.n + j);
        t.start = start != nullptr && slice == 0 ? start + j : nullptr;
        t.c = sums.at;
        t.ldc = sums.stride;
        t.add = sums.add;
        if (plan.pairs) {
          t.narrow = narrow && last ? static_cast<uint16_t*>(g.c) + c_at : nullptr;
          t.ld_narrow = g.c_row;
          pair_kernel(rows, t.n, left.in_rows)(t);
        } else {
          tile_kernel(rows, t.n, left.in_rows, !plan.b_in_place)(t);
        }
        if (finishing && last)
          finish_sums(g, sums.at, sums.stride, c_at, j, rows, t.n, sums.add_old);
      }
    }
  }
}

bool gemm_any(const GemmArgs& g, bool pairs) {
  const bool wide_out = g.c_dtype == DType::f32;
  int64_t elements = g.m * g.n;
  for (int i = 0; i < g.batch_rank; ++i) elements *= g.batch[i];
  if (elements == 0) return true;
  const Plan plan = make_plan(g, pairs);
  const int64_t packed_floats =
      plan.b_in_place ? 0 : plan.b_batches * plan.packed_stride + kTileColumns;
  const backend::cpu::Scratch packed(static_cast<size_t>(packed_floats) * sizeof(float));
  float* panels = static_cast<float*>(packed.data);
  if (!plan.b_in_place) pack_b(g, plan, panels);
  const bool needs_wide = !wide_out && plan.slices > 1;
  const backend::cpu::Scratch sums(
      needs_wide ? static_cast<size_t>(plan.batches * g.m * g.n) * sizeof(float) : 0);
  // Any pointer says "the output is narrow"; it is written to only with more than one slice.
  float* wide = wide_out ? nullptr : static_cast<float*>(sums.data);
  parallel_for(plan.batches * plan.row_chunks * plan.column_chunks,
               [&](int64_t chunk) { run_chunk(g, plan, panels, wide, chunk); });
  return true;
}

bool gemm_own(const GemmArgs& g) {
  const bool wide_out = g.c_dtype == DType::f32;
  if (g.dtype != DType::f32 && g.dtype != DType::bf16) return false;
  if (g.dtype == DType::f32 ? !wide_out : !wide_out && g.c_dtype != DType::bf16) return false;
  return gemm_any(g, false);
}

bool gemm_pairs(const GemmArgs& g) {
  if (g.dtype != DType::bf16 || (g.c_dtype != DType::f32 && g.c_dtype != DType::bf16)) return false;
  if ((g.a_row != 1 && g.a_col != 1) || (g.b_row != 1 && g.b_col != 1)) return false;
  return gemm_any(g, true);
}

/// AMX-BF16 and AMX-TILE.
bool has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & 1u << 22) != 0 && (d & 1u << 24) != 0;
}

/// Pairs go before oneDNN (400), but not where oneDNN has tiles, which are many times faster.
[[maybe_unused]] const bool registered_pairs =
    is_level_in_use() && multiplies_pairs() && !has_tiles() &&
    gemm.add_fast(gemm_pairs, 450, "own_pairs_" SING_SIMD_TEXT(SING_SIMD));

SING_SIMD_KERNEL(gemm, gemm_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
