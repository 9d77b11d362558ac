#pragma once
// Rows of a Walk for vector kernels: the output is dense along a row, inputs are dense or repeat
// one element.
#include "backend/cpu/simd/elements.h"
#include "kernels/walk.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

/// The numbers of a std::array without calling its members (see simd.h).
template <class Array>
SING_INLINE const int64_t* numbers(const Array& array) {
  return reinterpret_cast<const int64_t*>(&array);
}

/// One operand along a row.
struct RowOperand {
  int64_t offset;
  bool repeats;
};

/// Calls row(operands, n) for pieces of rows; false when the strides along rows are others.
template <int N, class Row>
bool for_each_row(const Walk<N>& walk, Row row) {
  constexpr int64_t kGrain = 1 << 14;
  const int64_t* dims = numbers(walk.dims);
  const int64_t* strides = numbers(walk.strides);  // N rows of kMaxRank
  const int inner = walk.rank - 1;
  const int64_t n = dims[inner];
  for (int k = 0; k < N; ++k) {
    const int64_t step = strides[k * kMaxRank + inner];
    if (step != 1 && (k == 0 || step != 0)) return false;
  }
  int64_t rows = 1;
  for (int d = 0; d < inner; ++d) rows *= dims[d];
  if (rows == 0 || n == 0) return true;
  const int64_t pieces = (n - 1) / kGrain + 1;  // long rows are cut
  const int64_t grain = pieces > 1 || n >= kGrain ? 1 : kGrain / n;
  parallel_ranges(rows * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first_element = piece % pieces * kGrain;
      int64_t left = piece / pieces;
      RowOperand at[N];
      for (int k = 0; k < N; ++k) {
        const int64_t step = strides[k * kMaxRank + inner];
        at[k] = {first_element * step, step == 0};
      }
      for (int d = inner - 1; d >= 0; --d) {
        const int64_t i = left % dims[d];
        left /= dims[d];
        for (int k = 0; k < N; ++k) at[k].offset += i * strides[k * kMaxRank + d];
      }
      row(at, n - first_element < kGrain ? n - first_element : kGrain);
    }
  });
  return true;
}

/// Loads of one operand: lane by lane, or the repeated element. A row of one element counts as
/// repeating only where its stride says so; both read the same.
template <bool kBf16>
struct RowLoader {
  const void* base;
  RowOperand operand;
  vf repeated;

  SING_INLINE RowLoader(const void* data, RowOperand o) : base(data), operand(o), repeated{} {
    if (operand.repeats) {
      const Mask one = first(1);
      float lanes[kWidth];
      store(lanes, Elements<kBf16>::get(base, operand.offset, one));
      repeated = set1(lanes[0]);
    }
  }
  SING_INLINE vf get(int64_t i) const {
    return operand.repeats ? repeated : Elements<kBf16>::get(base, operand.offset + i);
  }
  SING_INLINE vf get(int64_t i, Mask lanes) const {
    return operand.repeats ? repeated : Elements<kBf16>::get(base, operand.offset + i, lanes);
  }
};

}  // namespace
}  // namespace sing::kernels::SING_SIMD
