// Sums, means and norms of f32 and bf16. f32 lanes add at most kFlush vectors, f64 goes on from
// there. Along rows: the innermost reduced dimension is dense. Along columns: the innermost kept
// dimension is dense and one dimension is reduced.
#include "kernels/reduce.h"

#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/walk_rows.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kFlush = 64 * kWidth;
constexpr int64_t kChunk = 1 << 15;     // elements of a long sum per chunk
constexpr int64_t kRowsPerChunk = 128;  // of column sums

template <bool kSquare, bool kBf16>
double sum_dense(const void* x, int64_t at, int64_t n) {
  using E = Elements<kBf16>;
  double total = 0;
  for (int64_t block = 0; block < n; block += kFlush) {
    const int64_t end = block + kFlush < n ? block + kFlush : n;
    vf sums[4] = {};
    int64_t i = block;
    for (; i + 4 * kWidth <= end; i += 4 * kWidth)
      for (int k = 0; k < 4; ++k) {
        const vf v = E::get(x, at + i + k * kWidth);
        sums[k] = kSquare ? fma(v, v, sums[k]) : sums[k] + v;
      }
    for (; i < end; i += kWidth) {
      const vf v = E::get(x, at + i, first(end - i < kWidth ? end - i : kWidth));
      sums[0] = kSquare ? fma(v, v, sums[0]) : sums[0] + v;
    }
    total += sum_wide((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  return total;
}

double sum_any(const ReduceArgs& a, int64_t at, int64_t n) {
  const bool bf16 = a.dtype == DType::bf16;
  if (a.op == ReduceOp::norm)
    return bf16 ? sum_dense<true, true>(a.x, at, n) : sum_dense<true, false>(a.x, at, n);
  return bf16 ? sum_dense<false, true>(a.x, at, n) : sum_dense<false, false>(a.x, at, n);
}

SING_INLINE float bf16_value(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof value);
  return value;
}

/// out[k] (+)= result, rounded once.
void put(const ReduceArgs& a, int64_t k, double sum) {
  double result = a.op == ReduceOp::norm ? __builtin_sqrt(sum) : sum * a.scale;
  if (a.out_dtype == DType::f32) {
    float* out = static_cast<float*>(a.out) + k;
    if (a.accumulate) result += static_cast<double>(*out);
    *out = static_cast<float>(result);
  } else {
    uint16_t* out = static_cast<uint16_t*>(a.out) + k;
    if (a.accumulate) result += static_cast<double>(bf16_value(*out));
    store_bf16(out, set1(static_cast<float>(result)), first(1));
  }
}

int64_t product(const int64_t* dims, int rank) {
  int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= dims[d];
  return n;
}
int64_t offset_of(int64_t i, int rank, const int64_t* dims, const int64_t* strides) {
  int64_t offset = 0;
  for (int d = rank - 1; d >= 0; --d) {
    offset += i % dims[d] * strides[d];
    i /= dims[d];
  }
  return offset;
}

/// One dense run to one number: partial sums of fixed chunks, added in their order.
void whole(const ReduceArgs& a, int64_t n) {
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  const backend::cpu::Scratch scratch(static_cast<size_t>(chunks) * sizeof(double));
  double* partial = static_cast<double*>(scratch.data);
  parallel_for(chunks, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk;
    partial[chunk] = sum_any(a, begin, begin + kChunk < n ? kChunk : n - begin);
  });
  double sum = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk];
  put(a, 0, sum);
}

void along_rows(const ReduceArgs& a) {
  const int64_t *kept_dims = numbers(a.kept_dims), *kept_strides = numbers(a.kept_strides);
  const int64_t *dims = numbers(a.reduced_dims), *strides = numbers(a.reduced_strides);
  const int outer = a.reduced_rank - 1;
  const int64_t n = dims[outer], runs = product(dims, outer);
  const int64_t kept = product(kept_dims, a.kept_rank);
  if (kept == 1 && runs == 1) return whole(a, n);
  const int64_t each = runs * n > 0 ? runs * n : 1;
  parallel_ranges(kept, each < kChunk ? kChunk / each : 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t base = offset_of(k, a.kept_rank, kept_dims, kept_strides);
      double sum = 0;
      for (int64_t run = 0; run < runs; ++run)
        sum += sum_any(a, base + offset_of(run, outer, dims, strides), n);
      put(a, k, sum);
    }
  });
}

/// Sums of columns begin..end of one chunk of rows, as f64 in `sums`.
template <bool kSquare, bool kBf16>
void add_columns(const void* x, int64_t base, int64_t rows, int64_t row_stride, int64_t cols,
                 double* sums) {
  using E = Elements<kBf16>;
  for (int64_t j = 0; j < cols; j += kWidth) {
    const int64_t count = cols - j < kWidth ? cols - j : kWidth;
    const Mask lanes = first(count);
    vf sum{};
    for (int64_t i = 0; i < rows; ++i) {
      const vf v = E::get(x, base + i * row_stride + j, lanes);
      sum = kSquare ? fma(v, v, sum) : sum + v;
    }
    add_wide(sums + j, sum, count);
  }
}

void add_columns_any(const ReduceArgs& a, int64_t base, int64_t rows, int64_t row_stride,
                     int64_t cols, double* sums) {
  const bool bf16 = a.dtype == DType::bf16, square = a.op == ReduceOp::norm;
  if (square)
    bf16 ? add_columns<true, true>(a.x, base, rows, row_stride, cols, sums)
         : add_columns<true, false>(a.x, base, rows, row_stride, cols, sums);
  else
    bf16 ? add_columns<false, true>(a.x, base, rows, row_stride, cols, sums)
         : add_columns<false, false>(a.x, base, rows, row_stride, cols, sums);
}

void along_columns(const ReduceArgs& a) {
  const int64_t *kept_dims = numbers(a.kept_dims), *kept_strides = numbers(a.kept_strides);
  const int outer = a.kept_rank - 1;
  const int64_t cols = kept_dims[outer], groups = product(kept_dims, outer);
  const int64_t rows = numbers(a.reduced_dims)[0], stride = numbers(a.reduced_strides)[0];
  const int64_t chunks = rows == 0 ? 1 : (rows + kRowsPerChunk - 1) / kRowsPerChunk;
  const size_t bytes = static_cast<size_t>(groups * chunks * cols) * sizeof(double);
  const backend::cpu::Scratch scratch(bytes);
  double* partial = static_cast<double*>(scratch.data);
  parallel_for(groups * chunks, [&](int64_t piece) {
    double* sums = partial + piece * cols;
    __builtin_memset(sums, 0, static_cast<size_t>(cols) * sizeof(double));
    const int64_t begin = piece % chunks * kRowsPerChunk;
    const int64_t base = offset_of(piece / chunks, outer, kept_dims, kept_strides);
    add_columns_any(a, base + begin * stride,
                    begin + kRowsPerChunk < rows ? kRowsPerChunk : rows - begin, stride, cols,
                    sums);
  });
  for (int64_t group = 0; group < groups; ++group) {
    double* sums = partial + group * chunks * cols;
    for (int64_t chunk = 1; chunk < chunks; ++chunk)
      for (int64_t j = 0; j < cols; ++j) sums[j] += sums[chunk * cols + j];
    for (int64_t j = 0; j < cols; ++j) put(a, group * cols + j, sums[j]);
  }
}

bool reduce_own(const ReduceArgs& a) {
  if (!is_f32_or_bf16(a.dtype) || !is_f32_or_bf16(a.out_dtype)) return false;
  if (a.op != ReduceOp::sum && a.op != ReduceOp::norm) return false;
  if (a.reduced_rank > 0 && numbers(a.reduced_strides)[a.reduced_rank - 1] == 1) {
    along_rows(a);
    return true;
  }
  if (a.reduced_rank == 1 && a.kept_rank > 0 && numbers(a.kept_strides)[a.kept_rank - 1] == 1 &&
      numbers(a.kept_dims)[a.kept_rank - 1] >= 4) {
    along_columns(a);
    return true;
  }
  return false;
}

SING_SIMD_KERNEL(reduce, reduce_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
