#include "kernels/reduce.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(reduce, ReduceArgs)
SING_DEFINE_SLOT(reduce_select_bwd, ReduceSelectBackwardArgs)

namespace {

using cpu::from_value;
using cpu::to_value;
using Dims = std::array<int64_t, kMaxRank>;

int64_t product(const Dims& dims, int rank) {
  int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= dims[static_cast<size_t>(d)];
  return n;
}

/// Offset of element number `i` in row-major order of `dims`.
int64_t offset_of(int64_t i, int rank, const Dims& dims, const Dims& strides) {
  int64_t offset = 0;
  for (size_t d = static_cast<size_t>(rank); d-- > 0;) {
    offset += i % dims[d] * strides[d];
    i /= dims[d];
  }
  return offset;
}

/// Calls element(offset, number) over the reduced elements in row-major order.
template <class Args, class Element>
void for_each_reduced(const Args& a, int64_t count, Element element) {
  const size_t inner = static_cast<size_t>(std::max(a.reduced_rank, 1)) - 1;
  const int64_t n = a.reduced_rank == 0 ? 1 : a.reduced_dims[inner];
  const int64_t step = a.reduced_rank == 0 ? 0 : a.reduced_strides[inner];
  for (int64_t first = 0; first < count; first += n) {
    int64_t offset =
        offset_of(first / n, static_cast<int>(inner), a.reduced_dims, a.reduced_strides);
    for (int64_t i = 0; i < n; ++i, offset += step) element(offset, first + i);
  }
}

/// Kept elements in parallel; each is reduced by one thread in one order.
template <class Args, class Body>
void for_each_kept(const Args& a, int64_t reduced, Body body) {
  const int64_t kept = product(a.kept_dims, a.kept_rank);
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(reduced, 1));
  parallel_ranges(kept, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      body(k, offset_of(k, a.kept_rank, a.kept_dims, a.kept_strides));
  });
}

template <class T, class Out>
void sum_of(const ReduceArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  Out* out = static_cast<Out*>(a.out);
  const bool square = a.op == ReduceOp::norm;
  const int64_t reduced = product(a.reduced_dims, a.reduced_rank);
  for_each_kept(a, reduced, [&](int64_t k, int64_t base) {
    cpu::sum_t sum = 0;
    for_each_reduced(a, reduced, [&](int64_t offset, int64_t) {
      const cpu::sum_t v = static_cast<cpu::sum_t>(to_value(x[base + offset]));
      sum += square ? v * v : v;
    });
    cpu::sum_t result = square ? std::sqrt(sum) : sum * a.scale;
    if (a.accumulate) result += static_cast<cpu::sum_t>(to_value(out[k]));
    out[k] = from_value<Out>(result);
  });
}

template <class T>
void extremum_of(const ReduceArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  T* out = static_cast<T*>(a.out);
  const bool largest = a.op == ReduceOp::max;
  const int64_t reduced = product(a.reduced_dims, a.reduced_rank);
  for_each_kept(a, reduced, [&](int64_t k, int64_t base) {
    int64_t best_at = 0, best_offset = 0;
    auto best = to_value(x[base]);
    for_each_reduced(a, reduced, [&](int64_t offset, int64_t number) {
      const auto v = to_value(x[base + offset]);
      // `v != v` is NaN: the first one wins and stays.
      if ((largest ? v > best : v < best) || (v != v && best == best)) {
        best = v;
        best_at = number;
        best_offset = offset;
      }
    });
    if (out != nullptr) out[k] = x[base + best_offset];
    if (a.positions != nullptr) a.positions[k] = best_at;
  });
}

template <class T>
void truth_of(const ReduceArgs& a) {
  const T* x = static_cast<const T*>(a.x);
  bool* out = static_cast<bool*>(a.out);
  const bool any = a.op == ReduceOp::any;
  const int64_t reduced = product(a.reduced_dims, a.reduced_rank);
  for_each_kept(a, reduced, [&](int64_t k, int64_t base) {
    bool result = !any;
    for_each_reduced(a, reduced, [&](int64_t offset, int64_t) {
      const auto v = to_value(x[base + offset]);
      if ((v != decltype(v){}) == any) result = any;
    });
    out[k] = result;
  });
}

void reduce_reference(const ReduceArgs& a) {
  switch (a.op) {
    case ReduceOp::sum:
    case ReduceOp::norm:
      return cpu::dispatch_floating(a.dtype, [&](auto in) {
        cpu::dispatch_floating(a.out_dtype,
                               [&](auto out) { sum_of<decltype(in), decltype(out)>(a); });
      });
    case ReduceOp::max:
    case ReduceOp::min:
      return cpu::dispatch_all(a.dtype, [&](auto in) { extremum_of<decltype(in)>(a); });
    case ReduceOp::any:
    case ReduceOp::all:
      return cpu::dispatch_all(a.dtype, [&](auto in) { truth_of<decltype(in)>(a); });
  }
}

void select_backward_reference(const ReduceSelectBackwardArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* dx = static_cast<T*>(a.dx);
    const T* grad = static_cast<const T*>(a.grad);
    for_each_kept(a, 1, [&](int64_t k, int64_t base) {
      dx[base + offset_of(a.positions[k], a.reduced_rank, a.reduced_dims, a.reduced_strides)] =
          grad[k];
    });
  });
}

SING_REFERENCE_KERNEL(reduce, reduce_reference)
SING_REFERENCE_KERNEL(reduce_select_bwd, select_backward_reference)

}  // namespace
}  // namespace sing::kernels
