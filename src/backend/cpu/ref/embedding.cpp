#include "kernels/embedding.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/cpu/check_index.h"
#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(embedding_fwd, EmbeddingFwdArgs)
SING_DEFINE_SLOT(embedding_bwd, EmbeddingBwdArgs)

namespace {

template <class I>
void forward(const EmbeddingFwdArgs& a) {
  const I* indices = static_cast<const I*>(a.indices);
  const size_t row_bytes = static_cast<size_t>(a.width) * size_of(a.dtype);
  const char* weight = static_cast<const char*>(a.weight);
  char* y = static_cast<char*>(a.y);
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(a.width, 1));
  parallel_ranges(a.n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = indices[i];
      if (row < 0 || row >= a.rows) cpu::index_outside("index", row, a.rows, "embedding", i);
      std::memcpy(y + static_cast<size_t>(i) * row_bytes,
                  weight + static_cast<size_t>(row) * row_bytes, row_bytes);
    }
  });
}

/// Counting sort: the positions of row r are positions[row_start[r] .. row_start[r + 1]), in order.
template <class I>
void sort_positions(const EmbeddingBwdArgs& a) {
  const I* indices = static_cast<const I*>(a.indices);
  std::fill_n(a.row_start, a.rows + 1, 0);
  for (int64_t i = 0; i < a.n; ++i) ++a.row_start[indices[i]];
  int64_t total = 0;
  for (int64_t r = 0; r <= a.rows; ++r) {
    total += a.row_start[r];
    a.row_start[r] = total;  // one past the end of row r
  }
  for (int64_t i = a.n; i-- > 0;) a.positions[--a.row_start[indices[i]]] = i;
}

template <class T, class G>
void add_rows(const EmbeddingBwdArgs& a) {
  const T* grad_y = static_cast<const T*>(a.grad_y);
  G* grad_weight = static_cast<G*>(a.grad_weight);
  constexpr int64_t kColumns = 64;
  parallel_ranges(a.rows, 64, [&](int64_t begin, int64_t end) {
    std::array<double, kColumns> sum;
    for (int64_t r = begin; r < end; ++r) {
      const int64_t first = a.row_start[r], last = a.row_start[r + 1];
      if (first == last || r == a.padding_idx) continue;
      for (int64_t column = 0; column < a.width; column += kColumns) {
        const int64_t count = std::min(kColumns, a.width - column);
        G* to = grad_weight + r * a.width + column;
        for (int64_t j = 0; j < count; ++j) sum[static_cast<size_t>(j)] = cpu::to_value(to[j]);
        for (int64_t p = first; p < last; ++p) {
          const T* from = grad_y + a.positions[p] * a.width + column;
          for (int64_t j = 0; j < count; ++j) sum[static_cast<size_t>(j)] += cpu::to_value(from[j]);
        }
        for (int64_t j = 0; j < count; ++j) to[j] = cpu::from_value<G>(sum[static_cast<size_t>(j)]);
      }
    }
  });
}

void forward_reference(const EmbeddingFwdArgs& a) {
  cpu::dispatch_index(a.index_dtype, [&](auto i) { forward<decltype(i)>(a); });
}

void backward_reference(const EmbeddingBwdArgs& a) {
  cpu::dispatch_index(a.index_dtype, [&](auto i) { sort_positions<decltype(i)>(a); });
  cpu::dispatch_floating(a.dtype, [&](auto t) {
    cpu::dispatch_floating(a.grad_dtype, [&](auto g) { add_rows<decltype(t), decltype(g)>(a); });
  });
}

SING_REFERENCE_KERNEL(embedding_fwd, forward_reference)
SING_REFERENCE_KERNEL(embedding_bwd, backward_reference)

}  // namespace
}  // namespace sing::kernels
