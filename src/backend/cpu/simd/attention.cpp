// Attention of f32 and bf16 heads. One chunk is one head of one sample: its keys and values are
// packed once, then blocks of queries pass through scores, softmax and products while everything
// stays in the cache. Backward computes the weights of a block again from the saved log-sums.
#include "backend/cpu/simd/attention_rows.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

/// Rows of one head in f32: the caller's memory, or a dense copy of bf16 rows.
struct Rows {
  const float* data;
  int64_t stride;
};

const char* head_base(const void* base, DType dtype, const HeadStrides& s, int64_t b, int64_t h) {
  return static_cast<const char*>(base) +
         (b * s.batch + h * s.head) * (dtype == DType::bf16 ? 2 : 4);
}

Rows rows_of(const void* base, DType dtype, const HeadStrides& s, int64_t b, int64_t h,
             int64_t rows, int64_t cols, float* copy) {
  const char* from = head_base(base, dtype, s, b, h);
  if (dtype == DType::f32) return {reinterpret_cast<const float*>(from), s.row};
  for (int64_t i = 0; i < rows; ++i) {
    const uint16_t* row = reinterpret_cast<const uint16_t*>(from) + i * s.row;
    for (int64_t j = 0; j < cols; j += kWidth) {
      const Mask lanes = lanes_at(j, cols);
      store(copy + i * cols + j, load_bf16(row + j, lanes), lanes);
    }
  }
  return {copy, cols};
}

/// Where f32 results of one head go: the caller's memory, or a buffer written back as bf16.
struct Output {
  float* data;
  int64_t stride;
};

Output output_of(void* base, DType dtype, const HeadStrides& s, int64_t b, int64_t h, int64_t cols,
                 float* buffer) {
  if (dtype != DType::f32) return {buffer, cols};
  float* to = static_cast<float*>(base) + b * s.batch + h * s.head;
  return {to, s.row};
}

void write_back(const Output& from, void* base, DType dtype, const HeadStrides& s, int64_t b,
                int64_t h, int64_t rows, int64_t cols) {
  if (dtype == DType::f32) return;
  uint16_t* to = static_cast<uint16_t*>(base) + b * s.batch + h * s.head;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; j += kWidth) {
      const Mask lanes = lanes_at(j, cols);
      store_bf16(to + i * s.row + j, load(from.data + i * from.stride + j, lanes), lanes);
    }
}

/// rows x cols of x as panels of its transpose (cols deep, rows wide).
void pack_transposed(float* packed, const Rows& x, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; i += kTileColumns)
    pack_panel(packed + i * cols, x.data + i * x.stride, false, 1, x.stride, cols,
               smaller(kTileColumns, rows - i));
}

/// c (m x n) = a (m x k, rows) times panels made by pack_transposed.
void product_packed(const float* a, int64_t lda, const float* panels, float* c, int64_t ldc,
                    int64_t m, int64_t n, int64_t k) {
  multiply({a, lda, true, panels, kTileColumns * k, kTileColumns, true, c, ldc, m, n, k, false});
}

/// c (m x n) = or += a times plain rows b (k x n); a is m x k in rows, or k x m (transposed).
void product_plain(const float* a, int64_t lda, bool a_in_rows, const Rows& b, const Output& c,
                   int64_t m, int64_t n, int64_t k, bool add) {
  multiply(
      {a, lda, a_in_rows, b.data, kTileColumns, b.stride, false, c.data, c.stride, m, n, k, add});
}

struct ForwardSizes {
  int64_t score_stride, keys_packed, total_floats;
  bool copies;
  explicit ForwardSizes(const AttentionProblem& p)
      : score_stride(round_up(p.keys, kTileColumns)),
        keys_packed(packed_size(p.dim, p.keys)),
        copies(p.dtype != DType::f32) {
    const int64_t narrow =
        copies ? p.queries * p.dim + p.keys * (p.dim + p.value_dim) + p.queries * p.value_dim : 0;
    total_floats = keys_packed + kTileRows * score_stride + 2 * (p.keys + kSlack) + narrow + 1024;
  }
};

void forward_head(const AttentionForwardArgs& a, const ForwardSizes& size, const PhiloxKey& philox,
                  int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  Pieces pieces{static_cast<char*>(
      backend::cpu::thread_workspace(static_cast<size_t>(size.total_floats) * 4))};
  float* panels = pieces.take(size.keys_packed);
  float* scores = pieces.take(kTileRows * size.score_stride);
  float* mask_buffer = pieces.take(p.keys + kSlack);
  float* bits = pieces.take(p.keys + kSlack);
  const int64_t on = size.copies ? 1 : 0;
  const Rows q = rows_of(a.q, p.dtype, a.q_strides, b, h, p.queries, p.dim,
                         pieces.take(on * p.queries * p.dim));
  const Rows k =
      rows_of(a.k, p.dtype, a.k_strides, b, h, p.keys, p.dim, pieces.take(on * p.keys * p.dim));
  const Rows v = rows_of(a.v, p.dtype, a.v_strides, b, h, p.keys, p.value_dim,
                         pieces.take(on * p.keys * p.value_dim));
  const Output out = output_of(a.out, p.dtype, a.out_strides, b, h, p.value_dim,
                               pieces.take(on * p.queries * p.value_dim));
  float* log_sum = static_cast<float*>(a.log_sum) + (b * p.heads + h) * p.queries;
  Work work = work_of(p, b, h, philox, mask_buffer, bits);
  pack_transposed(panels, k, p.keys, p.dim);
  for (int64_t i = 0; i < p.queries; i += kTileRows) {
    const int64_t rows = smaller(kTileRows, p.queries - i);
    const int64_t keys = p.causal ? smaller(p.keys, i + rows) : p.keys;
    product_packed(q.data + i * q.stride, q.stride, panels, scores, size.score_stride, rows, keys,
                   p.dim);
    float inverse[kTileRows];
    softmax_rows(work, scores, size.score_stride, i, rows, keys, log_sum + i, inverse);
    const Output to{out.data + i * out.stride, out.stride};
    product_plain(scores, size.score_stride, true, v, to, rows, p.value_dim, keys, false);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < p.value_dim; d += kWidth) {
        const Mask lanes = lanes_at(d, p.value_dim);
        float* at = to.data + r * to.stride + d;
        store(at, load(at, lanes) * inverse[r], lanes);
      }
  }
  write_back(out, a.out, p.dtype, a.out_strides, b, h, p.queries, p.value_dim);
}

bool forward(const AttentionForwardArgs& a) {
  if (!served(a.problem)) return false;
  const ForwardSizes size(a.problem);
  const PhiloxKey philox = philox_of(a.problem);
  const int64_t heads = a.problem.heads;
  parallel_for(a.problem.batch * heads,
               [&](int64_t chunk) { forward_head(a, size, philox, chunk / heads, chunk % heads); });
  return true;
}

struct BackwardSizes {
  int64_t score_stride, block_rows, total_floats;
  bool copies;
  explicit BackwardSizes(const AttentionProblem& p)
      : score_stride(round_up(p.keys, kTileColumns)), copies(p.dtype != DType::f32) {
    block_rows = rows_of_block(p, score_stride);
    const int64_t narrow = copies ? 2 * (p.queries + p.keys) * (p.dim + p.value_dim) : 0;
    total_floats = packed_size(p.dim, p.keys) + packed_size(p.value_dim, p.keys) +
                   2 * block_rows * score_stride + 2 * (p.keys + kSlack) + narrow + 2048;
  }
};

float dot(const float* a, const float* b, int64_t n) {
  vf total{};
  for (int64_t j = 0; j < n; j += kWidth) {
    const Mask lanes = lanes_at(j, n);
    total = fma(load(a + j, lanes), load(b + j, lanes), total);
  }
  return sum(total);
}

void backward_head(const AttentionBackwardArgs& a, const BackwardSizes& size,
                   const PhiloxKey& philox, int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  Pieces pieces{static_cast<char*>(
      backend::cpu::thread_workspace(static_cast<size_t>(size.total_floats) * 4))};
  float* key_panels = pieces.take(packed_size(p.dim, p.keys));
  float* value_panels = pieces.take(packed_size(p.value_dim, p.keys));
  float* scores = pieces.take(size.block_rows * size.score_stride);
  float* grads = pieces.take(size.block_rows * size.score_stride);
  float* mask_buffer = pieces.take(p.keys + kSlack);
  float* bits = pieces.take(p.keys + kSlack);
  const int64_t q_floats = size.copies ? p.queries * p.dim : 0,
                k_floats = size.copies ? p.keys * p.dim : 0,
                v_floats = size.copies ? p.keys * p.value_dim : 0,
                o_floats = size.copies ? p.queries * p.value_dim : 0;
  const Rows q = rows_of(a.q, p.dtype, a.q_strides, b, h, p.queries, p.dim, pieces.take(q_floats));
  const Rows k = rows_of(a.k, p.dtype, a.k_strides, b, h, p.keys, p.dim, pieces.take(k_floats));
  const Rows v =
      rows_of(a.v, p.dtype, a.v_strides, b, h, p.keys, p.value_dim, pieces.take(v_floats));
  const Rows out =
      rows_of(a.out, p.dtype, a.out_strides, b, h, p.queries, p.value_dim, pieces.take(o_floats));
  const Rows grad =
      rows_of(a.grad, p.dtype, a.grad_strides, b, h, p.queries, p.value_dim, pieces.take(o_floats));
  const Output grad_q =
      output_of(a.grad_q, p.dtype, a.grad_q_strides, b, h, p.dim, pieces.take(q_floats));
  const Output grad_k =
      output_of(a.grad_k, p.dtype, a.grad_k_strides, b, h, p.dim, pieces.take(k_floats));
  const Output grad_v =
      output_of(a.grad_v, p.dtype, a.grad_v_strides, b, h, p.value_dim, pieces.take(v_floats));
  const float* log_sum = static_cast<const float*>(a.log_sum) + (b * p.heads + h) * p.queries;
  Work work = work_of(p, b, h, philox, mask_buffer, bits);
  pack_transposed(key_panels, k, p.keys, p.dim);
  pack_transposed(value_panels, v, p.keys, p.value_dim);
  for (int64_t i = 0; i < p.queries; i += size.block_rows) {
    const int64_t rows = smaller(size.block_rows, p.queries - i);
    const float* grad_block = grad.data + i * grad.stride;
    product_packed(q.data + i * q.stride, q.stride, key_panels, scores, size.score_stride, rows,
                   p.keys, p.dim);
    product_packed(grad_block, grad.stride, value_panels, grads, size.score_stride, rows, p.keys,
                   p.value_dim);
    for (int64_t r = 0; r < rows; ++r) {
      const float delta =
          dot(grad_block + r * grad.stride, out.data + (i + r) * out.stride, p.value_dim);
      float* row = scores + r * size.score_stride;
      float* grad_row = grads + r * size.score_stride;
      if (p.drop_below == 0)
        backward_row<false>(work, row, grad_row, i + r, p.keys, log_sum[i + r], delta);
      else
        backward_row<true>(work, row, grad_row, i + r, p.keys, log_sum[i + r], delta);
    }
    product_plain(scores, size.score_stride, false, {grad_block, grad.stride}, grad_v, p.keys,
                  p.value_dim, rows, i > 0);
    product_plain(grads, size.score_stride, false, {q.data + i * q.stride, q.stride}, grad_k,
                  p.keys, p.dim, rows, i > 0);
    product_plain(grads, size.score_stride, true, k,
                  {grad_q.data + i * grad_q.stride, grad_q.stride}, rows, p.dim, p.keys, false);
  }
  write_back(grad_q, a.grad_q, p.dtype, a.grad_q_strides, b, h, p.queries, p.dim);
  write_back(grad_k, a.grad_k, p.dtype, a.grad_k_strides, b, h, p.keys, p.dim);
  write_back(grad_v, a.grad_v, p.dtype, a.grad_v_strides, b, h, p.keys, p.value_dim);
}

bool backward(const AttentionBackwardArgs& a) {
  if (!served(a.problem)) return false;
  const BackwardSizes size(a.problem);
  const PhiloxKey philox = philox_of(a.problem);
  const int64_t heads = a.problem.heads;
  parallel_for(a.problem.batch * heads, [&](int64_t chunk) {
    backward_head(a, size, philox, chunk / heads, chunk % heads);
  });
  return true;
}

SING_SIMD_KERNEL(attention_forward, forward, "own")
SING_SIMD_KERNEL(attention_backward, backward, "own")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
