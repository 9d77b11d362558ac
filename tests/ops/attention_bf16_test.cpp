// Attention of bf16 heads against the plain version on the same numbers, at sizes around tiles,
// pairs and blocks of queries; every gradient.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/core/random.h"
#include "sing/ops/attention.h"

namespace sing {
namespace {

struct Problem {
  int64_t queries, keys, dim, value_dim;
  bool causal = false;
  double dropout = 0;
  bool masked = false;
  int64_t spare = 0;  // columns behind each head's own, which must not take part
};

Tensor random_heads(int64_t tokens, int64_t dim, int64_t spare, uint64_t position) {
  Tensor t = Tensor::empty({2, 2, tokens, dim + spare}, {.dtype = DType::f64});
  double* values = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    values[i] = i % (dim + spare) >= dim
                    ? std::nan("")
                    : random_normal({1, Purpose::test, 0, position}, static_cast<uint64_t>(i));
  return t.to(DType::bf16).narrow(3, 0, dim);
}

/// The output, then the gradients of q, k and v.
std::vector<std::vector<double>> run(const Problem& p) {
  Tensor q = random_heads(p.queries, p.dim, p.spare, 1),
         k = random_heads(p.keys, p.dim, p.spare, 2),
         v = random_heads(p.keys, p.value_dim, p.spare, 3);
  for (Tensor* t : {&q, &k, &v}) t->set_requires_grad();
  ops::AttentionOptions options;
  options.causal = p.causal;
  options.dropout = p.dropout;
  options.key = {7, Purpose::dropout, 3, 11};
  if (p.masked) {
    options.mask = Tensor::full({2, p.keys}, 1, {.dtype = DType::boolean});
    bool* visible = options.mask.mutable_data<bool>();
    for (int64_t i = 0; i < 2 * p.keys; i += 3) visible[i] = false;
    std::fill(visible, visible + p.keys, false);  // the first sample sees nothing at all
  }
  const Tensor y = ops::scaled_dot_product_attention(q, k, v, options);
  y.backward(random_heads(p.queries, p.value_dim, p.spare, 4));
  return {y.to_vector(), q.grad().to_vector(), k.grad().to_vector(), v.grad().to_vector()};
}

void check(const Problem& p) {
  const auto fast = run(p);
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  const auto plain = run(p);
  const char* names[] = {"output", "gradient of q", "gradient of k", "gradient of v"};
  // A sum may cancel below its terms. Those of the gradients of q and k are as large as gradients
  // of weights, sums of value_dim products of normal numbers: all are measured against that size
  // too.
  double largest = std::sqrt(static_cast<double>(p.value_dim));
  for (const auto& values : plain)
    for (const double x : values) largest = std::max(largest, std::abs(x));
  for (size_t i = 0; i < plain.size(); ++i) {
    double worst = 0;
    for (size_t j = 0; j < plain[i].size(); ++j) {
      const double d = std::abs(fast[i][j] - plain[i][j]);
      worst = std::isfinite(d) ? std::max(worst, d) : 1e30;
    }
    // The result rounds to a neighbour (2^-8 of its value) and each weight of its sum by half as
    // much; these errors have random signs, so that few of them add up.
    EXPECT_LE(worst, 2 * 0x1p-8 * largest)
        << names[i] << ", " << p.queries << " queries, " << p.keys << " keys, " << p.dim << ", "
        << p.value_dim << " wide";
  }
}

TEST(AttentionBf16, SizesAroundTilesAndPairs) {
  for (const int64_t queries : {1, 12, 13, 31})
    for (const int64_t keys : {1, 2, 15, 16, 33, 64})
      for (const int64_t dim : {1, 2, 17, 64})
        check({.queries = queries, .keys = keys, .dim = dim, .value_dim = dim % 2 + 16});
}

TEST(AttentionBf16, HeadsInsideWiderRows) {
  for (const int64_t spare : {1, 2})
    for (const int64_t dim : {16, 17})
      check({.queries = 14, .keys = 19, .dim = dim, .value_dim = dim, .spare = spare});
}

TEST(AttentionBf16, SeveralBlocksOfQueries) {
  check({.queries = 700, .keys = 40, .dim = 16, .value_dim = 17});
  check({.queries = 300, .keys = 300, .dim = 16, .value_dim = 16, .causal = true});
}

TEST(AttentionBf16, MasksAndDropout) {
  check({.queries = 20, .keys = 21, .dim = 8, .value_dim = 8, .masked = true});
  check({.queries = 21, .keys = 21, .dim = 8, .value_dim = 8, .causal = true, .dropout = 0.25});
}

}  // namespace
}  // namespace sing
