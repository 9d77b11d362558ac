#include "backend/cuda/cudnn/attention_graph.h"

#include "sing/core/error.h"

namespace sing::cuda::cudnn {
namespace {

using kernels::AttentionProblem;
using kernels::HeadStrides;

constexpr cudnnDataType_t kHalf = CUDNN_DATA_BFLOAT16, kWide = CUDNN_DATA_FLOAT;

Dims rows(const HeadStrides& s) {
  return {s.batch, s.head, s.row, 1};
}
Dims columns(const HeadStrides& s) {
  return {s.batch, s.head, 1, s.row};
}

void append(std::vector<int64_t>& key, const HeadStrides& s) {
  key.insert(key.end(), {s.batch, s.head, s.row});
}

std::vector<int64_t> key_of(const AttentionProblem& p, int64_t alignment) {
  return {p.batch,  p.heads,  p.queries, p.keys, p.dim, p.value_dim, static_cast<int64_t>(p.dtype),
          p.causal, alignment};
}

/// The parts that both directions need.
class Builder {
 public:
  Builder(Graph& graph, const AttentionProblem& p) : graph_(graph), p_(p) {}

  Dims queries(int64_t last) const { return {p_.batch, p_.heads, p_.queries, last}; }
  Dims keys(int64_t last) const { return {p_.batch, p_.heads, p_.keys, last}; }
  int64_t scores() { return graph_.inner(kWide, queries(p_.keys)); }
  int64_t per_query() { return graph_.inner(kWide, queries(1)); }

  int64_t product(int64_t a, int64_t b) {
    const int64_t c = scores();
    graph_.matmul(a, b, c);
    return c;
  }
  int64_t pointwise(cudnnPointwiseMode_t mode, int64_t x, int64_t b = Graph::kNone) {
    const int64_t y = graph_.inner(kWide, graph_.dims(x));
    graph_.pointwise(mode, x, b, y);
    return y;
  }
  int64_t reduce(cudnnReduceTensorOp_t op, int64_t x) {
    const int64_t y = per_query();
    graph_.reduce(op, x, y);
    return y;
  }
  /// Scores of keys behind the query become `hidden`.
  int64_t causal(int64_t x, int64_t hidden) {
    if (!p_.causal) return x;
    const int64_t row = graph_.inner(CUDNN_DATA_INT32, queries(p_.keys));
    const int64_t column = graph_.inner(CUDNN_DATA_INT32, queries(p_.keys));
    const int64_t seen = graph_.inner(CUDNN_DATA_BOOLEAN, queries(p_.keys));
    graph_.gen_index(2, x, row);
    graph_.gen_index(3, x, column);
    graph_.pointwise(CUDNN_POINTWISE_CMP_GE, row, column, seen);
    const int64_t y = scores();
    graph_.pointwise(CUDNN_POINTWISE_BINARY_SELECT, x, hidden, y, seen);
    return y;
  }
  /// (.., queries, keys) as bf16 (.., keys, queries).
  int64_t transposed(int64_t x) {
    const int64_t each = p_.queries * p_.keys;
    const int64_t y = graph_.inner(kHalf, keys(p_.queries), {p_.heads * each, each, 1, p_.keys});
    graph_.reshape(x, y);
    return y;
  }

 private:
  Graph& graph_;
  const AttentionProblem& p_;
};

void expect(int64_t id, int64_t wanted) {
  SING_ASSERT(id == wanted);
}

void build_forward(Graph& graph, const kernels::AttentionForwardArgs& a, int64_t alignment) {
  const AttentionProblem& p = a.problem;
  Builder b(graph, p);
  const int64_t q = graph.tensor(kHalf, b.queries(p.dim), rows(a.q_strides), alignment);
  const int64_t k =
      graph.tensor(kHalf, {p.batch, p.heads, p.dim, p.keys}, columns(a.k_strides), alignment);
  const int64_t v = graph.tensor(kHalf, b.keys(p.value_dim), rows(a.v_strides), alignment);
  const int64_t out = graph.tensor(kHalf, b.queries(p.value_dim), rows(a.out_strides), alignment);
  const int64_t log_sum = graph.tensor(kWide, b.queries(1), packed_strides(b.queries(1)));
  const int64_t scale = graph.scalar(kWide);
  const int64_t hidden = graph.scalar(kWide);
  expect(hidden, kFwdHidden);

  const int64_t scaled = b.pointwise(CUDNN_POINTWISE_MUL, b.product(q, k), scale);
  const int64_t s = b.causal(scaled, hidden);
  const int64_t largest = b.reduce(CUDNN_REDUCE_TENSOR_MAX, s);
  const int64_t e = b.pointwise(CUDNN_POINTWISE_EXP, b.pointwise(CUDNN_POINTWISE_SUB, s, largest));
  const int64_t sum = b.reduce(CUDNN_REDUCE_TENSOR_ADD, e);
  graph.pointwise(CUDNN_POINTWISE_ADD, largest, b.pointwise(CUDNN_POINTWISE_LOG, sum), log_sum);
  const int64_t weights = graph.inner(kHalf, b.queries(p.keys));
  graph.pointwise(CUDNN_POINTWISE_DIV, e, sum, weights);
  graph.matmul(weights, v, out);
}

void build_backward(Graph& graph, const kernels::AttentionBackwardArgs& a, int64_t alignment,
                    bool deterministic) {
  const AttentionProblem& p = a.problem;
  Builder b(graph, p);
  const auto tensor = [&](Dims dims, Dims strides) {
    return graph.tensor(kHalf, std::move(dims), std::move(strides), alignment);
  };
  const int64_t q = tensor(b.queries(p.dim), rows(a.q_strides));
  const int64_t k = tensor({p.batch, p.heads, p.dim, p.keys}, columns(a.k_strides));
  const int64_t v = tensor({p.batch, p.heads, p.value_dim, p.keys}, columns(a.v_strides));
  const int64_t out = tensor(b.queries(p.value_dim), rows(a.out_strides));
  const int64_t grad = tensor(b.queries(p.value_dim), rows(a.grad_strides));
  const int64_t log_sum = graph.tensor(kWide, b.queries(1), packed_strides(b.queries(1)));
  const int64_t grad_q = tensor(b.queries(p.dim), rows(a.grad_q_strides));
  const int64_t grad_k = tensor(b.keys(p.dim), rows(a.grad_k_strides));
  const int64_t grad_v = tensor(b.keys(p.value_dim), rows(a.grad_v_strides));
  const int64_t row_sum = graph.tensor(kWide, b.queries(1), packed_strides(b.queries(1)));
  const int64_t scale = graph.scalar(kWide), one = graph.scalar(kWide);
  const int64_t hidden = graph.scalar(kWide);
  const int64_t accumulator =
      graph.tensor(kWide, b.queries(p.dim), packed_strides(b.queries(p.dim)));
  expect(accumulator, kBwdAccumulator);

  // Row sums of grad * out. The engines look for the product with a number here (the place of
  // dropout's factor) and for the sums in memory.
  const int64_t grad_out = graph.inner(kWide, b.queries(p.value_dim));
  graph.pointwise(CUDNN_POINTWISE_MUL, grad, out, grad_out);
  graph.pointwise(CUDNN_POINTWISE_MUL, b.reduce(CUDNN_REDUCE_TENSOR_ADD, grad_out), one, row_sum);

  const int64_t scaled = b.pointwise(CUDNN_POINTWISE_MUL, b.product(q, k), scale);
  const int64_t shifted = b.pointwise(CUDNN_POINTWISE_SUB, scaled, log_sum);
  const int64_t weights = b.pointwise(CUDNN_POINTWISE_EXP, b.causal(shifted, hidden));
  graph.matmul(b.transposed(weights), grad, grad_v);

  const int64_t centred = b.pointwise(CUDNN_POINTWISE_SUB, b.product(grad, v), row_sum);
  const int64_t unscaled = b.pointwise(CUDNN_POINTWISE_MUL, centred, weights);
  const int64_t grad_scores = b.pointwise(CUDNN_POINTWISE_MUL, unscaled, scale);
  graph.matmul(b.transposed(grad_scores), q, grad_k);

  const int64_t k_rows = graph.inner(kHalf, b.keys(p.dim), rows(a.k_strides));
  graph.reshape(k, k_rows);
  if (deterministic) {
    graph.matmul(grad_scores, k_rows, grad_q);
  } else {
    graph.matmul(grad_scores, k_rows, accumulator);
    graph.pointwise(CUDNN_POINTWISE_IDENTITY, accumulator, Graph::kNone, grad_q);
  }
}

}  // namespace

std::vector<int64_t> plan_key(const kernels::AttentionForwardArgs& a, int64_t alignment) {
  std::vector<int64_t> key = key_of(a.problem, alignment);
  for (const HeadStrides* s : {&a.q_strides, &a.k_strides, &a.v_strides, &a.out_strides})
    append(key, *s);
  return key;
}

std::vector<int64_t> plan_key(const kernels::AttentionBackwardArgs& a, int64_t alignment,
                              bool deterministic) {
  std::vector<int64_t> key = key_of(a.problem, alignment);
  for (const HeadStrides* s :
       {&a.q_strides, &a.k_strides, &a.v_strides, &a.out_strides, &a.grad_strides,
        &a.grad_q_strides, &a.grad_k_strides, &a.grad_v_strides})
    append(key, *s);
  key.push_back(deterministic);
  return key;
}

std::string text_of(const AttentionProblem& p, const char* pass) {
  return std::string("attention ") + pass + ", q (" + std::to_string(p.batch) + ", " +
         std::to_string(p.heads) + ", " + std::to_string(p.queries) + ", " + std::to_string(p.dim) +
         "), keys " + std::to_string(p.keys) + ", " + std::string(name_of(p.dtype)) +
         (p.causal ? ", causal" : "");
}

Graph attention_forward_graph(const kernels::AttentionForwardArgs& a, int64_t alignment,
                              const Target& target) {
  Graph graph(text_of(a.problem, "forward"));
  try {
    build_forward(graph, a, alignment);
    graph.finalize(target);
  } catch (const BackendError& error) {
    throw BackendError(error.what(), graph.name());
  }
  return graph;
}

Graph attention_backward_graph(const kernels::AttentionBackwardArgs& a, int64_t alignment,
                               bool deterministic, const Target& target) {
  Graph graph(text_of(a.problem, deterministic ? "backward, deterministic" : "backward"));
  try {
    build_backward(graph, a, alignment, deterministic);
    graph.finalize(target);
  } catch (const BackendError& error) {
    throw BackendError(error.what(), graph.name());
  }
  return graph;
}

}  // namespace sing::cuda::cudnn
