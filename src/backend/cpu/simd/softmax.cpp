// Softmax and its logarithm over the last dimension, f32 and bf16.
#include "backend/cpu/simd/elements.h"
#include "kernels/reduce.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

SING_INLINE Mask lanes_at(int64_t i, int64_t n) {
  return first(n - i < kWidth ? n - i : kWidth);
}

int64_t rows_per_chunk(int64_t n) {
  const int64_t rows = (1 << 13) / n;
  return rows < 1 ? 1 : rows;
}

template <bool kLog, bool kBf16>
void forward_row(const SoftmaxArgs& a, int64_t at) {
  using E = Elements<kBf16>;
  const vf lowest = set1(-__builtin_inff());
  vf most = lowest;
  for (int64_t i = 0; i < a.n; i += kWidth) {
    const Mask lanes = lanes_at(i, a.n);
    most = max(keep(lanes, E::get(a.x, at + i, lanes), lowest), most);
  }
  const vf shift = set1(largest(most));
  vf sum{};
  for (int64_t i = 0; i < a.n; i += kWidth) {
    const Mask lanes = lanes_at(i, a.n);
    const vf e = keep(lanes, exp(E::get(a.x, at + i, lanes) - shift), vf{});
    if constexpr (!kLog && !kBf16) E::put(a.y, at + i, e, lanes);
    sum = sum + e;
  }
  const double total = sum_wide(sum);
  if constexpr (kLog) {
    const vf log_sum = set1(static_cast<float>(__builtin_log(total)));
    for (int64_t i = 0; i < a.n; i += kWidth) {
      const Mask lanes = lanes_at(i, a.n);
      E::put(a.y, at + i, (E::get(a.x, at + i, lanes) - shift) - log_sum, lanes);
    }
  } else {
    const vf scale = set1(static_cast<float>(1 / total));
    for (int64_t i = 0; i < a.n; i += kWidth) {
      const Mask lanes = lanes_at(i, a.n);
      const vf e = kBf16 ? exp(E::get(a.x, at + i, lanes) - shift) : E::get(a.y, at + i, lanes);
      E::put(a.y, at + i, e * scale, lanes);
    }
  }
}

template <bool kLog, bool kBf16>
void backward_row(const SoftmaxBackwardArgs& a, int64_t at) {
  using E = Elements<kBf16>;
  vf sum{};
  for (int64_t i = 0; i < a.n; i += kWidth) {
    const Mask lanes = lanes_at(i, a.n);
    const vf g = E::get(a.grad, at + i, lanes);  // zero outside the mask
    sum = sum + (kLog ? g : g * E::get(a.y, at + i, lanes));
  }
  const vf total = set1(static_cast<float>(sum_wide(sum)));
  for (int64_t i = 0; i < a.n; i += kWidth) {
    const Mask lanes = lanes_at(i, a.n);
    const vf g = E::get(a.grad, at + i, lanes), y = E::get(a.y, at + i, lanes);
    E::put(a.dx, at + i, kLog ? g - exp(y) * total : y * (g - total), lanes);
  }
}

/// Calls row(at) for the place where each row begins; false where rows are not dense.
template <class Args, class Row>
bool for_rows(const Args& a, const Row& row) {
  if (!is_f32_or_bf16(a.dtype) || a.inner != 1) return false;
  if (a.n == 0) return true;
  parallel_ranges(a.outer, rows_per_chunk(a.n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) row(i * a.n);
  });
  return true;
}

bool forward_own(const SoftmaxArgs& a) {
  const bool bf16 = a.dtype == DType::bf16;
  return for_rows(a, [&](int64_t at) {
    if (a.log)
      bf16 ? forward_row<true, true>(a, at) : forward_row<true, false>(a, at);
    else
      bf16 ? forward_row<false, true>(a, at) : forward_row<false, false>(a, at);
  });
}

bool backward_own(const SoftmaxBackwardArgs& a) {
  const bool bf16 = a.dtype == DType::bf16;
  return for_rows(a, [&](int64_t at) {
    if (a.log)
      bf16 ? backward_row<true, true>(a, at) : backward_row<true, false>(a, at);
    else
      bf16 ? backward_row<false, true>(a, at) : backward_row<false, false>(a, at);
  });
}

SING_SIMD_KERNEL(softmax_fwd, forward_own, "own")
SING_SIMD_KERNEL(softmax_bwd, backward_own, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
