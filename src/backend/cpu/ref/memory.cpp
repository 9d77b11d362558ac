#include "kernels/memory.h"

#include <cstring>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(strided_copy, StridedCopyArgs)
SING_DEFINE_SLOT(fill, FillArgs)

namespace {

using cpu::from_value;
using cpu::to_value;

/// Drops dimensions of size 1 and merges neighbours that both sides walk as one.
StridedCopyArgs collapsed(const StridedCopyArgs& in) {
  StridedCopyArgs out = in;
  out.rank = 0;
  for (int i = 0; i < in.rank; ++i) {
    const size_t s = static_cast<size_t>(i);
    if (in.dims[s] == 1) continue;
    if (out.rank > 0) {
      const size_t last = static_cast<size_t>(out.rank) - 1;
      if (out.to_strides[last] == in.to_strides[s] * in.dims[s] &&
          out.from_strides[last] == in.from_strides[s] * in.dims[s]) {
        out.dims[last] *= in.dims[s];
        out.to_strides[last] = in.to_strides[s];
        out.from_strides[last] = in.from_strides[s];
        continue;
      }
    }
    const size_t at = static_cast<size_t>(out.rank++);
    out.dims[at] = in.dims[s];
    out.to_strides[at] = in.to_strides[s];
    out.from_strides[at] = in.from_strides[s];
  }
  if (out.rank == 0) {
    out.rank = 1;
    out.dims[0] = 1;
    out.to_strides[0] = out.from_strides[0] = 1;
  }
  return out;
}

template <class To, class From>
void copy_row(To* to, int64_t to_step, const From* from, int64_t from_step, int64_t n,
              bool accumulate) {
  if constexpr (std::is_same_v<To, From>) {
    if (!accumulate && to_step == 1 && from_step == 1) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(To));
      return;
    }
  }
  // Integers keep all their bits; everything else goes through the wider floating type.
  using V = cpu::common_value<To, From>;
  if (accumulate) {
    for (int64_t i = 0; i < n; ++i)
      to[i * to_step] = from_value<To>(static_cast<V>(to_value(to[i * to_step])) +
                                       static_cast<V>(to_value(from[i * from_step])));
  } else if (to_step == 1 && from_step == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = from_value<To>(static_cast<V>(to_value(from[i])));
  } else {
    for (int64_t i = 0; i < n; ++i)
      to[i * to_step] = from_value<To>(static_cast<V>(to_value(from[i * from_step])));
  }
}

template <class To, class From>
void copy_all(const StridedCopyArgs& a) {
  const size_t inner = static_cast<size_t>(a.rank) - 1;
  int64_t rows = 1;
  for (size_t i = 0; i < inner; ++i) rows *= a.dims[i];
  // A single long row is cut as well; either way borders depend on the sizes only.
  const int64_t n = a.dims[inner];
  constexpr int64_t kGrain = 1 << 15;
  const int64_t cut = rows == 1 ? kGrain : n;
  const int64_t pieces = n == 0 ? 0 : (n - 1) / cut + 1;
  const int64_t rows_per_chunk = std::max<int64_t>(1, kGrain / std::max<int64_t>(n, 1));
  parallel_ranges(rows * pieces, rows == 1 ? 1 : rows_per_chunk, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      int64_t row = piece / pieces;
      const int64_t first = (piece % pieces) * cut;
      To* to = static_cast<To*>(a.to) + first * a.to_strides[inner];
      const From* from = static_cast<const From*>(a.from) + first * a.from_strides[inner];
      for (size_t i = inner; i-- > 0;) {
        const int64_t at = row % a.dims[i];
        row /= a.dims[i];
        to += at * a.to_strides[i];
        from += at * a.from_strides[i];
      }
      copy_row(to, a.to_strides[inner], from, a.from_strides[inner], std::min(cut, n - first),
               a.accumulate);
    }
  });
}

void strided_copy_reference(const StridedCopyArgs& args) {
  for (int i = 0; i < args.rank; ++i)
    if (args.dims[static_cast<size_t>(i)] == 0) return;
  const StridedCopyArgs a = collapsed(args);
  cpu::dispatch_all(a.to_dtype, [&](auto to) {
    cpu::dispatch_all(a.from_dtype, [&](auto from) { copy_all<decltype(to), decltype(from)>(a); });
  });
}

void fill_reference(const FillArgs& a) {
  cpu::dispatch_all(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* to = static_cast<T*>(a.to);
    const T value = from_value<T>(a.value);
    parallel_ranges(a.n, 1 << 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = value;
    });
  });
}

SING_REFERENCE_KERNEL(strided_copy, strided_copy_reference)
SING_REFERENCE_KERNEL(fill, fill_reference)

}  // namespace
}  // namespace sing::kernels
