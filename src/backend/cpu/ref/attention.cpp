#include "kernels/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(attention_forward, AttentionForwardArgs)
SING_DEFINE_SLOT(attention_backward, AttentionBackwardArgs)

namespace {

using cpu::from_value;

constexpr double kHidden = -std::numeric_limits<double>::infinity();

template <class T>
double wide(T x) {
  return static_cast<double>(cpu::to_value(x));
}
template <class T>
using stat_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// Rows of one head.
template <class T>
struct Head {
  T* base;
  int64_t row_stride;
  template <class P>
  Head(P* data, const HeadStrides& s, int64_t b, int64_t h)
      : base(static_cast<T*>(data) + b * s.batch + h * s.head), row_stride(s.row) {}
  T* row(int64_t i) const { return base + i * row_stride; }
};

template <class T>
double dot(const T* a, const T* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += wide(a[i]) * wide(b[i]);
  return sum;
}

double mask_value(const AttentionProblem& p, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (p.causal && j > i) return kHidden;
  if (p.mask == nullptr) return 0;
  const int64_t at = b * p.mask_batch + h * p.mask_head + i * p.mask_query + j * p.mask_key;
  if (p.mask_dtype == DType::boolean) return static_cast<const bool*>(p.mask)[at] ? 0 : kHidden;
  double value = 0;
  cpu::dispatch_floating(
      p.mask_dtype, [&](auto tag) { value = wide(static_cast<const decltype(tag)*>(p.mask)[at]); });
  return value;
}

/// 0, or what a kept weight is multiplied by.
double kept(const AttentionProblem& p, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (p.drop_below == 0) return 1;
  const int64_t index = ((b * p.heads + h) * p.queries + i) * p.keys + j;
  return random_bits(p.key, static_cast<uint64_t>(index)) < p.drop_below ? 0 : p.keep_scale;
}

template <class T>
void scores_of(const AttentionProblem& p, const Head<const T>& q, const Head<const T>& k, int64_t b,
               int64_t h, int64_t i, std::vector<double>& scores) {
  for (int64_t j = 0; j < p.keys; ++j) {
    const double mask = mask_value(p, b, h, i, j);
    scores[static_cast<size_t>(j)] =
        mask == kHidden ? kHidden : p.scale * dot(q.row(i), k.row(j), p.dim) + mask;
  }
}

template <class T>
void forward_head(const AttentionForwardArgs& a, int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  const Head<const T> q(a.q, a.q_strides, b, h), k(a.k, a.k_strides, b, h),
      v(a.v, a.v_strides, b, h);
  const Head<T> out(a.out, a.out_strides, b, h);
  stat_t<T>* log_sum = static_cast<stat_t<T>*>(a.log_sum) + (b * p.heads + h) * p.queries;
  std::vector<double> weights(static_cast<size_t>(p.keys)), sums(static_cast<size_t>(p.value_dim));
  for (int64_t i = 0; i < p.queries; ++i) {
    scores_of(p, q, k, b, h, i, weights);
    double largest = kHidden, total = 0;
    for (const double s : weights) largest = s > largest || std::isnan(s) ? s : largest;
    const bool sees = largest != kHidden;
    for (double& s : weights) total += s = sees ? std::exp(s - largest) : 0;
    log_sum[i] = static_cast<stat_t<T>>(sees ? largest + std::log(total) : kHidden);
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t j = 0; j < p.keys && sees; ++j) {
      const double w = weights[static_cast<size_t>(j)] / total * kept(p, b, h, i, j);
      for (int64_t d = 0; d < p.value_dim; ++d)
        sums[static_cast<size_t>(d)] += w * wide(v.row(j)[d]);
    }
    for (int64_t d = 0; d < p.value_dim; ++d)
      out.row(i)[d] = from_value<T>(sums[static_cast<size_t>(d)]);
  }
}

template <class T>
void backward_head(const AttentionBackwardArgs& a, int64_t b, int64_t h) {
  const AttentionProblem& p = a.problem;
  const Head<const T> q(a.q, a.q_strides, b, h), k(a.k, a.k_strides, b, h),
      v(a.v, a.v_strides, b, h), out(a.out, a.out_strides, b, h),
      grad(a.grad, a.grad_strides, b, h);
  const Head<T> grad_q(a.grad_q, a.grad_q_strides, b, h), grad_k(a.grad_k, a.grad_k_strides, b, h),
      grad_v(a.grad_v, a.grad_v_strides, b, h);
  const stat_t<T>* log_sum =
      static_cast<const stat_t<T>*>(a.log_sum) + (b * p.heads + h) * p.queries;
  const size_t dim = static_cast<size_t>(p.dim), value_dim = static_cast<size_t>(p.value_dim);
  std::vector<double> weights(static_cast<size_t>(p.keys)), dq(dim),
      dk(static_cast<size_t>(p.keys) * dim), dv(static_cast<size_t>(p.keys) * value_dim);
  for (int64_t i = 0; i < p.queries; ++i) {
    scores_of(p, q, k, b, h, i, weights);
    const double log_total = static_cast<double>(log_sum[i]);
    const double delta = dot(grad.row(i), out.row(i), p.value_dim);
    std::fill(dq.begin(), dq.end(), 0.0);
    for (int64_t j = 0; j < p.keys; ++j) {
      const size_t at = static_cast<size_t>(j);
      const double w = log_total == kHidden ? 0 : std::exp(weights[at] - log_total);
      const double keep = kept(p, b, h, i, j);
      const double d_weight = dot(grad.row(i), v.row(j), p.value_dim) * keep;
      const double d_score = w * (d_weight - delta) * p.scale;
      for (size_t d = 0; d < value_dim; ++d)
        dv[at * value_dim + d] += w * keep * wide(grad.row(i)[d]);
      for (size_t d = 0; d < dim; ++d) {
        dq[d] += d_score * wide(k.row(j)[d]);
        dk[at * dim + d] += d_score * wide(q.row(i)[d]);
      }
    }
    for (size_t d = 0; d < dim; ++d) grad_q.row(i)[d] = from_value<T>(dq[d]);
  }
  for (int64_t j = 0; j < p.keys; ++j) {
    const size_t at = static_cast<size_t>(j);
    for (size_t d = 0; d < dim; ++d) grad_k.row(j)[d] = from_value<T>(dk[at * dim + d]);
    for (size_t d = 0; d < value_dim; ++d) grad_v.row(j)[d] = from_value<T>(dv[at * value_dim + d]);
  }
}

void attention_forward_reference(const AttentionForwardArgs& a) {
  cpu::dispatch_floating(a.problem.dtype, [&](auto tag) {
    parallel_for(a.problem.batch * a.problem.heads, [&](int64_t chunk) {
      forward_head<decltype(tag)>(a, chunk / a.problem.heads, chunk % a.problem.heads);
    });
  });
}

void attention_backward_reference(const AttentionBackwardArgs& a) {
  cpu::dispatch_floating(a.problem.dtype, [&](auto tag) {
    parallel_for(a.problem.batch * a.problem.heads, [&](int64_t chunk) {
      backward_head<decltype(tag)>(a, chunk / a.problem.heads, chunk % a.problem.heads);
    });
  });
}

SING_REFERENCE_KERNEL(attention_forward, attention_forward_reference)
SING_REFERENCE_KERNEL(attention_backward, attention_backward_reference)

}  // namespace
}  // namespace sing::kernels
