#include "kernels/gather.h"

#include <algorithm>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(gather, GatherArgs)
SING_DEFINE_SLOT(gather_bwd, GatherBackwardArgs)

namespace {

using Dims = std::array<int64_t, kMaxRank>;

template <class I>
int64_t checked(I index, int64_t extent) {
  if (index < 0 || index >= extent)
    throw DataError("gather: wanted an index in 0.." + std::to_string(extent - 1) + "; got " +
                    std::to_string(index));
  return index;
}

/// Lines along `dim`: for each, body(offset in the first, second and third operand). One thread
/// walks one line, so what meets in one element is added in the order of the index.
template <class Body>
void for_each_line(int rank, int dim, const Dims& dims, const Dims& first, const Dims& second,
                   const Dims& third, Body body) {
  const size_t along = static_cast<size_t>(dim);
  int64_t lines = 1;
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d)
    if (d != along) lines *= dims[d];
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(dims[along], 1));
  parallel_ranges(lines, grain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      int64_t left = line;
      std::array<int64_t, 3> offset{};
      for (size_t d = static_cast<size_t>(rank); d-- > 0;) {
        if (d == along) continue;
        const int64_t at = left % dims[d];
        left /= dims[d];
        offset[0] += at * first[d];
        offset[1] += at * second[d];
        offset[2] += at * third[d];
      }
      body(offset);
    }
  });
}

void gather_reference(const GatherArgs& a) {
  const size_t along = static_cast<size_t>(a.dim);
  const int64_t n = a.dims[along];
  cpu::dispatch_all(a.dtype, [&](auto tag) {
    cpu::dispatch_index(a.index_dtype, [&](auto index_tag) {
      using T = decltype(tag);
      T* out = static_cast<T*>(a.out);
      const T* x = static_cast<const T*>(a.x);
      const auto* index = static_cast<const decltype(index_tag)*>(a.index);
      for_each_line(a.rank, a.dim, a.dims, a.out_strides, a.x_strides, a.index_strides,
                    [&](const std::array<int64_t, 3>& at) {
                      for (int64_t i = 0; i < n; ++i)
                        out[at[0] + i * a.out_strides[along]] =
                            x[at[1] + checked(index[at[2] + i * a.index_strides[along]], a.extent) *
                                          a.x_strides[along]];
                    });
    });
  });
}

void gather_backward_reference(const GatherBackwardArgs& a) {
  const size_t along = static_cast<size_t>(a.dim);
  const int64_t n = a.dims[along];
  cpu::dispatch_floating(a.dtype, [&](auto tag) {
    cpu::dispatch_floating(a.dx_dtype, [&](auto dx_tag) {
      cpu::dispatch_index(a.index_dtype, [&](auto index_tag) {
        using Out = decltype(dx_tag);
        Out* dx = static_cast<Out*>(a.dx);
        const auto* grad = static_cast<const decltype(tag)*>(a.grad);
        const auto* index = static_cast<const decltype(index_tag)*>(a.index);
        for_each_line(
            a.rank, a.dim, a.dims, a.dx_strides, a.grad_strides, a.index_strides,
            [&](const std::array<int64_t, 3>& at) {
              for (int64_t i = 0; i < n; ++i) {
                Out& to = dx[at[0] + checked(index[at[2] + i * a.index_strides[along]], a.extent) *
                                         a.dx_strides[along]];
                to = cpu::from_value<Out>(
                    static_cast<double>(cpu::to_value(to)) +
                    static_cast<double>(cpu::to_value(grad[at[1] + i * a.grad_strides[along]])));
              }
            });
      });
    });
  });
}

SING_REFERENCE_KERNEL(gather, gather_reference)
SING_REFERENCE_KERNEL(gather_bwd, gather_backward_reference)

}  // namespace
}  // namespace sing::kernels
