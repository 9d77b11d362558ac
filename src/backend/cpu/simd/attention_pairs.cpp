// Attention of bf16 heads where the processor multiplies pairs of bf16 numbers (AVX512_BF16): all
// products take bf16 operands and add in f32. Scores, softmax and its way back stay in f32; the
// weights and the gradients of the scores are rounded to bf16 for the products that follow.
#if defined(__AVX512F__)

#include "backend/cpu/simd/attention_rows.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

int64_t half(int64_t n) {
  return (n + 1) / 2;
}

/// Rows of bf16 in memory.
struct Narrow {
  uint16_t* data;
  int64_t stride;
  Narrow from(int64_t row) const { return {data + row * stride, stride}; }
};

Narrow head_of(const void* base, const HeadStrides& s, int64_t b, int64_t h) {
  const uint16_t* data = static_cast<const uint16_t*>(base) + b * s.batch + h * s.head;
  return {const_cast<uint16_t*>(data), s.row};
}

/// Panels of x (k x n), or of its transpose when x is n x k, as pairs along k.
void pack_plain(float* panels, const Narrow& x, int64_t k, int64_t n) {
  for (int64_t j = 0; j < n; j += kTileColumns)
    pack_pairs(panels + j * half(k), x.data + j, x.stride, 1, k, smaller(kTileColumns, n - j));
}
void pack_turned(float* panels, const Narrow& x, int64_t k, int64_t n) {
  for (int64_t j = 0; j < n; j += kTileColumns)
    pack_pairs(panels + j * half(k), x.data + j * x.stride, 1, x.stride, k,
               smaller(kTileColumns, n - j));
}

/// Where a product goes: f32 (added to when `add`), or bf16 when `narrow` is given.
struct Target {
  float* wide;
  int64_t stride;
  bool add = false;
  Narrow narrow = {nullptr, 0};
};

void product(const float* a, int64_t lda, bool a_in_rows, const float* panels, const Target& c,
             int64_t m, int64_t n, int64_t k) {
  PanelProduct p{
      a, lda, a_in_rows, panels, kTileColumns * half(k), kTileColumns, true, c.wide, c.stride,
      m, n,   half(k),   c.add};
  p.pairs = true;
  p.narrow = c.narrow.data;
  p.ld_narrow = c.narrow.stride;
  multiply(p);
}

/// c (m x n) = or += a (m x k) times panels. Whole pairs of aligned rows are read in place.
void product_rows(const Narrow& a, const float* panels, const Target& c, int64_t m, int64_t n,
                  int64_t k, float* buffer) {
  if (k % 2 == 0 && a.stride % 2 == 0 && reinterpret_cast<uintptr_t>(a.data) % sizeof(float) == 0) {
    product(reinterpret_cast<const float*>(a.data), a.stride / 2, true, panels, c, m, n, k);
    return;
  }
  for (int64_t i = 0; i < m; i += kTileRows) {
    const int64_t rows = smaller(kTileRows, m - i);
    pack_left_pairs(buffer, a.from(i).data, a.stride, 1, k, rows);
    Target to = c;
    to.wide += i * c.stride;
    if (c.narrow.data != nullptr) to.narrow = c.narrow.from(i);
    product(buffer, kTileRows, false, panels, to, rows, n, k);
  }
}

/// The same for a given as its transpose (k x m).
void product_turned(const Narrow& a, const float* panels, const Target& c, int64_t m, int64_t n,
                    int64_t k, float* buffer) {
  for (int64_t i = 0; i < m; i += kTileRows) {
    const int64_t rows = smaller(kTileRows, m - i);
    pack_left_pairs(buffer, a.data + i, 1, a.stride, k, rows);
    Target to = c;
    to.wide += i * c.stride;
    if (c.narrow.data != nullptr) to.narrow = c.narrow.from(i);
    product(buffer, kTileRows, false, panels, to, rows, n, k);
  }
}

void narrow_rows(const Narrow& to, const float* from, int64_t stride, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; j += kWidth)
      store_narrow(to.data + i * to.stride + j, load(from + i * stride + j), lanes_at(j, cols));
}

int64_t left_floats(int64_t k) {
  return kTileRows * half(k) + 2 * kWidth;
}

struct ForwardSizes {
  int64_t score_stride, out_stride, key_floats, value_floats, left, total;
  explicit ForwardSizes(const AttentionProblem& p)
      : score_stride(round_up(p.keys, kTileColumns)),
        out_stride(round_up(p.value_dim, kTileColumns)),
        key_floats(packed_size(half(p.dim), p.keys)),
        value_floats(packed_size(half(p.keys), p.value_dim)),
        left(left_floats(p.dim > p.keys ? p.dim : p.keys)),
        total(key_floats + value_floats + kTileRows * (2 * score_stride + out_stride) +
              2 * (p.keys + kSlack) + left + 1024) {}
};

void forward_head(const AttentionForwardArgs& a, const ForwardSizes& size, const PhiloxKey& philox,
                  int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  Pieces pieces{
      static_cast<char*>(backend::cpu::thread_workspace(static_cast<size_t>(size.total) * 4))};
  float* keys_turned = pieces.take(size.key_floats);
  float* values = pieces.take(size.value_floats);
  float* scores = pieces.take(kTileRows * size.score_stride);
  const Narrow weights{reinterpret_cast<uint16_t*>(pieces.take(kTileRows * size.score_stride)),
                       size.score_stride};
  float* sums = pieces.take(kTileRows * size.out_stride);
  float* left = pieces.take(size.left);
  float* mask_buffer = pieces.take(p.keys + kSlack);
  float* bits = pieces.take(p.keys + kSlack);
  const Narrow q = head_of(a.q, a.q_strides, b, h), out = head_of(a.out, a.out_strides, b, h);
  float* log_sum = static_cast<float*>(a.log_sum) + (b * p.heads + h) * p.queries;
  Work work = work_of(p, b, h, philox, mask_buffer, bits);
  pack_turned(keys_turned, head_of(a.k, a.k_strides, b, h), p.dim, p.keys);
  pack_plain(values, head_of(a.v, a.v_strides, b, h), p.keys, p.value_dim);
  for (int64_t i = 0; i < p.queries; i += kTileRows) {
    const int64_t rows = smaller(kTileRows, p.queries - i);
    product_rows(q.from(i), keys_turned, {scores, size.score_stride}, rows, p.keys, p.dim, left);
    float inverse[kTileRows];
    softmax_rows(work, scores, size.score_stride, i, rows, p.keys, log_sum + i, inverse);
    narrow_rows(weights, scores, size.score_stride, rows, size.score_stride);
    product_rows(weights, values, {sums, size.out_stride}, rows, p.value_dim, p.keys, left);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < p.value_dim; d += kWidth)
        store_narrow(out.data + (i + r) * out.stride + d,
                     load(sums + r * size.out_stride + d) * inverse[r], lanes_at(d, p.value_dim));
  }
}

bool forward(const AttentionForwardArgs& a) {
  if (!served(a.problem) || a.problem.dtype != DType::bf16) return false;
  const ForwardSizes size(a.problem);
  const PhiloxKey philox = philox_of(a.problem);
  const int64_t heads = a.problem.heads;
  parallel_for(a.problem.batch * heads,
               [&](int64_t chunk) { forward_head(a, size, philox, chunk / heads, chunk % heads); });
  return true;
}

/// Panels and blocks of the way back, in floats.
struct BackwardSizes {
  int64_t score_stride, block_rows, left, total;
  explicit BackwardSizes(const AttentionProblem& p) : score_stride(round_up(p.keys, kTileColumns)) {
    block_rows = rows_of_block(p, score_stride);
    int64_t longest = p.dim > p.value_dim ? p.dim : p.value_dim;
    if (longest < p.keys) longest = p.keys;
    if (longest < block_rows) longest = block_rows;
    left = left_floats(longest);
    total = packed_size(half(p.dim), p.keys) + packed_size(half(p.value_dim), p.keys) +
            packed_size(half(p.keys), p.dim) + packed_size(half(block_rows), p.dim) +
            packed_size(half(block_rows), p.value_dim) + 4 * block_rows * score_stride +
            p.keys * (p.dim + p.value_dim) + 2 * (p.keys + kSlack) + left + 2048;
  }
};

float dot(const uint16_t* a, const uint16_t* b, int64_t n) {
  vf total{};
  for (int64_t j = 0; j < n; j += kWidth) {
    const Mask lanes = lanes_at(j, n);
    total = fma(load_bf16(a + j, lanes), load_bf16(b + j, lanes), total);
  }
  return sum(total);
}

void backward_head(const AttentionBackwardArgs& a, const BackwardSizes& size,
                   const PhiloxKey& philox, int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  const int64_t stride = size.score_stride;
  Pieces pieces{
      static_cast<char*>(backend::cpu::thread_workspace(static_cast<size_t>(size.total) * 4))};
  float* keys_turned = pieces.take(packed_size(half(p.dim), p.keys));
  float* values_turned = pieces.take(packed_size(half(p.value_dim), p.keys));
  float* keys = pieces.take(packed_size(half(p.keys), p.dim));
  float* queries = pieces.take(packed_size(half(size.block_rows), p.dim));
  float* grads = pieces.take(packed_size(half(size.block_rows), p.value_dim));
  float* scores = pieces.take(size.block_rows * stride);
  float* score_grads = pieces.take(size.block_rows * stride);
  const Narrow weights{reinterpret_cast<uint16_t*>(pieces.take(size.block_rows * stride)), stride};
  const Narrow narrow_grads{reinterpret_cast<uint16_t*>(pieces.take(size.block_rows * stride)),
                            stride};
  float* key_sums = pieces.take(p.keys * p.dim);
  float* value_sums = pieces.take(p.keys * p.value_dim);
  float* left = pieces.take(size.left);
  float* mask_buffer = pieces.take(p.keys + kSlack);
  float* bits = pieces.take(p.keys + kSlack);
  const Narrow q = head_of(a.q, a.q_strides, b, h), k = head_of(a.k, a.k_strides, b, h),
               v = head_of(a.v, a.v_strides, b, h), out = head_of(a.out, a.out_strides, b, h),
               grad = head_of(a.grad, a.grad_strides, b, h),
               grad_q = head_of(a.grad_q, a.grad_q_strides, b, h),
               grad_k = head_of(a.grad_k, a.grad_k_strides, b, h),
               grad_v = head_of(a.grad_v, a.grad_v_strides, b, h);
  const float* log_sum = static_cast<const float*>(a.log_sum) + (b * p.heads + h) * p.queries;
  Work work = work_of(p, b, h, philox, mask_buffer, bits);
  pack_turned(keys_turned, k, p.dim, p.keys);
  pack_turned(values_turned, v, p.value_dim, p.keys);
  pack_plain(keys, k, p.keys, p.dim);
  for (int64_t i = 0; i < p.queries; i += size.block_rows) {
    const int64_t rows = smaller(size.block_rows, p.queries - i);
    const Narrow q_block = q.from(i), grad_block = grad.from(i);
    product_rows(q_block, keys_turned, {scores, stride}, rows, p.keys, p.dim, left);
    product_rows(grad_block, values_turned, {score_grads, stride}, rows, p.keys, p.value_dim, left);
    for (int64_t r = 0; r < rows; ++r) {
      const float delta = dot(grad_block.from(r).data, out.from(i + r).data, p.value_dim);
      float* row = scores + r * stride;
      float* grad_row = score_grads + r * stride;
      if (p.drop_below == 0)
        backward_row<false>(work, row, grad_row, i + r, p.keys, log_sum[i + r], delta);
      else
        backward_row<true>(work, row, grad_row, i + r, p.keys, log_sum[i + r], delta);
    }
    narrow_rows(weights, scores, stride, rows, stride);
    narrow_rows(narrow_grads, score_grads, stride, rows, stride);
    pack_plain(queries, q_block, rows, p.dim);
    pack_plain(grads, grad_block, rows, p.value_dim);
    // Sums over all queries wait in f32; a single block writes them at once.
    const bool only = rows == p.queries;
    const Narrow nowhere{nullptr, 0};
    product_turned(weights, grads, {value_sums, p.value_dim, i > 0, only ? grad_v : nowhere},
                   p.keys, p.value_dim, rows, left);
    product_turned(narrow_grads, queries, {key_sums, p.dim, i > 0, only ? grad_k : nowhere}, p.keys,
                   p.dim, rows, left);
    product_rows(narrow_grads, keys, {scores, stride, false, grad_q.from(i)}, rows, p.dim, p.keys,
                 left);
  }
  if (size.block_rows == p.queries) return;
  for (int64_t j = 0; j < p.keys; ++j) {
    for (int64_t d = 0; d < p.dim; d += kWidth)
      store_narrow(grad_k.from(j).data + d, load(key_sums + j * p.dim + d, lanes_at(d, p.dim)),
                   lanes_at(d, p.dim));
    for (int64_t d = 0; d < p.value_dim; d += kWidth)
      store_narrow(grad_v.from(j).data + d,
                   load(value_sums + j * p.value_dim + d, lanes_at(d, p.value_dim)),
                   lanes_at(d, p.value_dim));
  }
}

bool backward(const AttentionBackwardArgs& a) {
  if (!served(a.problem) || a.problem.dtype != DType::bf16) return false;
  const BackwardSizes size(a.problem);
  const PhiloxKey philox = philox_of(a.problem);
  const int64_t heads = a.problem.heads;
  parallel_for(a.problem.batch * heads, [&](int64_t chunk) {
    backward_head(a, size, philox, chunk / heads, chunk % heads);
  });
  return true;
}

[[maybe_unused]] const bool registered_pairs =
    is_level_in_use() && multiplies_pairs() &&
    attention_forward.add_fast(forward, kPriority + 50, "own_pairs_" SING_SIMD_TEXT(SING_SIMD)) &&
    attention_backward.add_fast(backward, kPriority + 50, "own_pairs_" SING_SIMD_TEXT(SING_SIMD));

}  // namespace
}  // namespace sing::kernels::SING_SIMD

#endif
