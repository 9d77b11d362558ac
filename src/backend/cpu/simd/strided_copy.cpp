// Copies, conversions and sums between f32 and bf16 arrays of any strides; and plain copies of all
// other types. Dimensions are walked in the order of the target's memory and merged where both
// sides allow it, so two images in one layout are one row. Same values as the reference, bit for
// bit.
#include <string.h>

#include "backend/cpu/simd/elements.h"
#include "kernels/memory.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kPerChunk = 1 << 15;

int bytes_of(DType dtype) {  // not the shared inline one
  if (dtype == DType::f64 || dtype == DType::i64) return 8;
  if (dtype == DType::f32 || dtype == DType::i32) return 4;
  return dtype == DType::bf16 || dtype == DType::f16 ? 2 : 1;
}

struct Walk {
  int rank = 0;  // >= 1; the last dimension is the row
  int64_t dims[kMaxRank], to[kMaxRank], from[kMaxRank];
};

/// False when there is nothing to copy.
bool plan(const StridedCopyArgs& a, Walk& w) {
  int64_t dims[kMaxRank], to[kMaxRank], from[kMaxRank];
  memcpy(dims, &a.dims, sizeof dims);
  memcpy(to, &a.to_strides, sizeof to);
  memcpy(from, &a.from_strides, sizeof from);
  int order[kMaxRank];
  int count = 0;
  for (int i = 0; i < a.rank; ++i) {
    if (dims[i] == 0) return false;
    if (dims[i] == 1) continue;
    int at = count++;
    for (; at > 0 && to[order[at - 1]] < to[i]; --at) order[at] = order[at - 1];
    order[at] = i;
  }
  for (int k = 0; k < count; ++k) {
    const int i = order[k], last = w.rank - 1;
    if (w.rank > 0 && w.to[last] == to[i] * dims[i] && w.from[last] == from[i] * dims[i]) {
      w.dims[last] *= dims[i];
      w.to[last] = to[i];
      w.from[last] = from[i];
      continue;
    }
    w.dims[w.rank] = dims[i];
    w.to[w.rank] = to[i];
    w.from[w.rank++] = from[i];
  }
  if (w.rank == 0) {
    w.rank = 1;
    w.dims[0] = w.to[0] = w.from[0] = 1;
  }
  return true;
}

/// One row, both sides dense.
template <bool kToBf16, bool kFromBf16>
SING_INLINE void dense_row(void* to, int64_t to_at, const void* from, int64_t from_at, int64_t n,
                           bool accumulate) {
  using To = Elements<kToBf16>;
  using From = Elements<kFromBf16>;
  int64_t i = 0;
  if (accumulate) {
    for (; i + kWidth <= n; i += kWidth)
      To::put(to, to_at + i, To::get(to, to_at + i) + From::get(from, from_at + i));
  } else {
    for (; i + kWidth <= n; i += kWidth) To::put(to, to_at + i, From::get(from, from_at + i));
  }
  if (i == n) return;
  const Mask lanes = first(n - i);
  vf x = From::get(from, from_at + i, lanes);
  if (accumulate) x = To::get(to, to_at + i, lanes) + x;
  To::put(to, to_at + i, x, lanes);
}

template <class T>
SING_INLINE void gather_row(void* to, int64_t to_at, int64_t to_step, const void* from,
                            int64_t from_at, int64_t from_step, int64_t n) {
  T* out = static_cast<T*>(to) + to_at;
  const T* in = static_cast<const T*>(from) + from_at;
  for (int64_t i = 0; i < n; ++i) out[i * to_step] = in[i * from_step];
}

/// Calls row(to_offset, from_offset) for rows begin..end-1 of the walk.
template <class Row>
SING_INLINE void for_rows(const Walk& w, int64_t begin, int64_t end, Row&& row) {
  const int inner = w.rank - 1;
  int64_t at[kMaxRank] = {}, to = 0, from = 0, left = begin;
  for (int d = inner; d-- > 0;) {
    at[d] = left % w.dims[d];
    left /= w.dims[d];
    to += at[d] * w.to[d];
    from += at[d] * w.from[d];
  }
  for (int64_t r = begin; r < end; ++r) {
    row(to, from);
    for (int d = inner; d-- > 0;) {
      to += w.to[d];
      from += w.from[d];
      if (++at[d] < w.dims[d]) break;
      to -= at[d] * w.to[d];
      from -= at[d] * w.from[d];
      at[d] = 0;
    }
  }
}

template <class Row>
void walk(const Walk& w, Row&& row) {
  const int inner = w.rank - 1;
  const int64_t n = w.dims[inner];
  if (w.rank == 1) {
    parallel_ranges(n, kPerChunk, [&](int64_t begin, int64_t end) {
      row(begin * w.to[0], begin * w.from[0], end - begin);
    });
    return;
  }
  int64_t rows = 1;
  for (int d = 0; d < inner; ++d) rows *= w.dims[d];
  parallel_ranges(rows, n >= kPerChunk ? 1 : kPerChunk / n, [&](int64_t begin, int64_t end) {
    for_rows(w, begin, end, [&](int64_t to, int64_t from) { row(to, from, n); });
  });
}

template <bool kToBf16, bool kFromBf16>
void convert(const StridedCopyArgs& a, const Walk& w) {
  walk(w, [&](int64_t to, int64_t from, int64_t n) {
    dense_row<kToBf16, kFromBf16>(a.to, to, a.from, from, n, a.accumulate);
  });
}

template <class T>
void copy_plain(const StridedCopyArgs& a, const Walk& w) {
  const int inner = w.rank - 1;
  const int64_t to_step = w.to[inner], from_step = w.from[inner];
  walk(w, [&](int64_t to, int64_t from, int64_t n) {
    if (to_step == 1 && from_step == 1)
      memcpy(static_cast<T*>(a.to) + to, static_cast<const T*>(a.from) + from,
             static_cast<size_t>(n) * sizeof(T));
    else
      gather_row<T>(a.to, to, to_step, a.from, from, from_step, n);
  });
}

bool strided_copy_simd(const StridedCopyArgs& a) {
  const bool same = a.to_dtype == a.from_dtype;
  const bool floats = is_f32_or_bf16(a.to_dtype) && is_f32_or_bf16(a.from_dtype);
  if (same && !a.accumulate) {
    Walk w;
    if (!plan(a, w)) return true;
    const int bytes = bytes_of(a.to_dtype);
    if (bytes == 8)
      copy_plain<uint64_t>(a, w);
    else if (bytes == 4)
      copy_plain<uint32_t>(a, w);
    else if (bytes == 2)
      copy_plain<uint16_t>(a, w);
    else
      copy_plain<uint8_t>(a, w);
    return true;
  }
  Walk w;
  if (!floats) return false;
  if (!plan(a, w)) return true;
  if (w.to[w.rank - 1] != 1 || w.from[w.rank - 1] != 1) return false;
  const bool to_bf16 = a.to_dtype == DType::bf16, from_bf16 = a.from_dtype == DType::bf16;
  if (to_bf16)
    from_bf16 ? convert<true, true>(a, w) : convert<true, false>(a, w);
  else
    from_bf16 ? convert<false, true>(a, w) : convert<false, false>(a, w);
  return true;
}

SING_SIMD_KERNEL(strided_copy, strided_copy_simd, "strided_copy")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
