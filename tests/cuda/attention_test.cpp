// Attention on the device against the reference: the shapes that the kernels on tensor cores serve,
// with tiles that are full, partly full and several, in the layouts that models use.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/backend/plugin.h"
#include "sing/core/error.h"
#include "sing/tensor/tensor.h"

namespace sing {
namespace {

using kernels::AttentionBackwardArgs;
using kernels::AttentionForwardArgs;
using kernels::AttentionProblem;
using kernels::HeadStrides;

enum class Mask { none, keys, full, additive };

struct Problem {
  int64_t queries, keys, dim, value_dim;
  bool causal = false, packed = false;
  double dropout = 0;
  Mask mask = Mask::none;
  DType dtype = DType::bf16;
  int64_t batch = 2, heads = 2;
  bool hides_a_row = false;
  int64_t extra = 0;  // unused columns of packed rows
  double added = 0;   // to all elements of an additive mask
  double scale = 1;   // of scores, times 1 / sqrt(dim)
};

Tensor random_tensor(const Shape& shape, DType dtype, uint64_t position) {
  Tensor t = Tensor::empty(shape, {.dtype = DType::f64});
  double* values = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    values[i] = random_normal({5, Purpose::test, 0, position}, static_cast<uint64_t>(i));
  return t.to(DType::bf16).to(dtype);  // the same numbers whatever the dtype
}

Tensor mask_of(const Problem& p) {
  const int64_t rows = p.mask == Mask::keys ? 1 : p.queries;
  Tensor t = Tensor::empty({p.batch, 1, rows, p.keys}, {.dtype = DType::f64});
  double* values = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double x = random_normal({6, Purpose::test, 0, 0}, static_cast<uint64_t>(i));
    values[i] = p.mask == Mask::additive ? x + p.added : x > -0.5 ? 1 : 0;
    if (p.hides_a_row && i / p.keys % rows == 1) values[i] = 0;
  }
  return t.to(p.mask == Mask::additive ? DType::f32 : DType::boolean);
}

struct Result {
  std::vector<double> out, log_sum, grad_q, grad_k, grad_v;
};

Result run(const Problem& p, DeviceType type, DType dtype) {
  const Device device{type, 0};
  // Packed: one tensor of rows (q, k, v) of all heads; else heads inside tokens, or tokens inside
  // heads for the queries.
  const int64_t b = p.batch, h = p.heads, tokens = p.queries;
  Tensor qkv, q, k, v, grad_qkv, grad_q, grad_k, grad_v;
  const TensorOptions options{.dtype = dtype, .device = device};
  HeadStrides qs, ks, vs;
  const auto bytes = static_cast<int64_t>(size_of(dtype));
  const char *qp, *kp, *vp;
  char *gq, *gk, *gv;
  if (p.packed) {
    const int64_t width = h * p.dim;
    const int64_t row = 3 * width + p.extra;
    qkv = random_tensor({b, tokens, row}, dtype, 1).to(device);
    grad_qkv = Tensor::zeros({b, tokens, row}, options);
    qp = static_cast<const char*>(qkv.raw());
    kp = qp + width * bytes;
    vp = kp + width * bytes;
    gq = static_cast<char*>(grad_qkv.mutable_raw());
    gk = gq + width * bytes;
    gv = gk + width * bytes;
    qs = ks = vs = {tokens * row, p.dim, row};
  } else {
    q = random_tensor({b, h, p.queries, p.dim}, dtype, 1).to(device);
    k = random_tensor({b, p.keys, h, p.dim}, dtype, 2).to(device);
    v = random_tensor({b, p.keys, h, p.value_dim}, dtype, 3).to(device);
    grad_q = Tensor::empty(q.shape(), options);
    grad_k = Tensor::empty(k.shape(), options);
    grad_v = Tensor::empty(v.shape(), options);
    qp = static_cast<const char*>(q.raw());
    kp = static_cast<const char*>(k.raw());
    vp = static_cast<const char*>(v.raw());
    gq = static_cast<char*>(grad_q.mutable_raw());
    gk = static_cast<char*>(grad_k.mutable_raw());
    gv = static_cast<char*>(grad_v.mutable_raw());
    qs = {h * p.queries * p.dim, p.queries * p.dim, p.dim};
    ks = {p.keys * h * p.dim, p.dim, h * p.dim};
    vs = {p.keys * h * p.value_dim, p.value_dim, h * p.value_dim};
  }
  const Tensor grad = random_tensor({b, p.queries, h, p.value_dim}, dtype, 4).to(device);
  Tensor out = Tensor::empty(grad.shape(), options);
  const HeadStrides os{p.queries * h * p.value_dim, p.value_dim, h * p.value_dim};
  const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
  Tensor log_sum = Tensor::empty({b, h, p.queries}, {.dtype = wide, .device = device});
  AttentionProblem a{};
  a.batch = b;
  a.heads = h;
  a.queries = p.queries;
  a.keys = p.keys;
  a.dim = p.dim;
  a.value_dim = p.value_dim;
  a.dtype = dtype;
  a.wide_dtype = wide;
  a.causal = p.causal;
  a.scale = p.scale / std::sqrt(static_cast<double>(p.dim));
  a.drop_below = static_cast<uint32_t>(p.dropout * 0x1p32);
  a.keep_scale = 1 / (1 - p.dropout);
  a.key = {7, Purpose::dropout, 3, 11};
  Tensor mask;
  if (p.mask != Mask::none) {
    mask = mask_of(p).to(device);
    a.mask = mask.raw();
    a.mask_dtype = mask.dtype();
    a.mask_batch = mask.stride(0);
    a.mask_query = p.mask == Mask::keys ? 0 : mask.stride(2);
    a.mask_key = 1;
  }
  kernels::attention_forward(
      type, {a, qp, kp, vp, qs, ks, vs, out.mutable_raw(), os, log_sum.mutable_raw(), {}});
  kernels::attention_backward(type, {a,
                                     qp,
                                     kp,
                                     vp,
                                     out.raw(),
                                     grad.raw(),
                                     log_sum.raw(),
                                     qs,
                                     ks,
                                     vs,
                                     os,
                                     os,
                                     gq,
                                     gk,
                                     gv,
                                     qs,
                                     ks,
                                     vs,
                                     {}});
  if (p.packed) return {out.to_vector(), log_sum.to_vector(), grad_qkv.to_vector(), {}, {}};
  return {out.to_vector(), log_sum.to_vector(), grad_q.to_vector(), grad_k.to_vector(),
          grad_v.to_vector()};
}

/// Largest difference over the largest value; infinities must be the same.
double distance(const std::vector<double>& got, const std::vector<double>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double worst = 0, largest = 1e-30;
  for (size_t i = 0; i < got.size() && i < wanted.size(); ++i) {
    if (got[i] == wanted[i]) continue;
    const double d = std::abs(got[i] - wanted[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : 1e30;
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return worst / largest;
}

void check(const Problem& p) {
  ASSERT_TRUE(backend::backend_state(DeviceType::cuda).usable);
  const Result got = run(p, DeviceType::cuda, p.dtype), again = run(p, DeviceType::cuda, p.dtype);
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  const Result wanted = run(p, DeviceType::cpu, DType::f64);
  // bf16 results and weights have 8 bits; the errors of some hundred weights average out. A wrong
  // row, a wrong mask or a missing tile is of the size of the values.
  const double allowed = p.dtype == DType::bf16 ? 0.02 : 1e-5;
  const std::string where = std::to_string(p.queries) + " queries, " + std::to_string(p.keys) +
                            " keys, dim " + std::to_string(p.dim) + ", " +
                            std::to_string(p.value_dim);
  EXPECT_LE(distance(got.out, wanted.out), allowed) << where;
  EXPECT_LE(distance(got.log_sum, wanted.log_sum), 1e-5) << where;  // exact operands, f32 sums
  EXPECT_LE(distance(got.grad_q, wanted.grad_q), allowed) << where;
  EXPECT_LE(distance(got.grad_k, wanted.grad_k), allowed) << where;
  EXPECT_LE(distance(got.grad_v, wanted.grad_v), allowed) << where;
  EXPECT_EQ(got.out, again.out) << where;
  EXPECT_EQ(got.grad_q, again.grad_q) << where;
  EXPECT_EQ(got.grad_k, again.grad_k) << where;
  EXPECT_EQ(got.grad_v, again.grad_v) << where;
}

TEST(CudaAttention, OneTile) {
  check({.queries = 64, .keys = 64, .dim = 64, .value_dim = 64, .packed = true});
  check({.queries = 50, .keys = 50, .dim = 64, .value_dim = 64, .causal = true, .packed = true});
  check({.queries = 5, .keys = 17, .dim = 16, .value_dim = 40});
}

TEST(CudaAttention, OneTileOfKeys) {
  check({.queries = 130, .keys = 33, .dim = 32, .value_dim = 64});
  check({.queries = 130, .keys = 64, .dim = 64, .value_dim = 32, .causal = true});
}

TEST(CudaAttention, SeveralTiles) {
  check({.queries = 70, .keys = 130, .dim = 64, .value_dim = 64, .batch = 1, .heads = 1});
  check({.queries = 129,
         .keys = 129,
         .dim = 24,
         .value_dim = 24,
         .causal = true,
         .packed = true,
         .batch = 1});
  check({.queries = 130,
         .keys = 70,
         .dim = 8,
         .value_dim = 8,
         .causal = true,
         .batch = 1,
         .heads = 1});
}

/// Backward beyond 64 keys: blocks of 128 and of 256 keys that are full, partly full and several.
TEST(CudaAttention, LongSequences) {
  for (const int64_t tokens : {65, 96, 128, 129, 200})
    check({.queries = tokens,
           .keys = tokens,
           .dim = tokens == 96 ? 32 : 64,
           .value_dim = tokens == 96 ? 32 : 64,
           .causal = tokens % 2 == 1,
           .packed = true,
           .batch = 1,
           .heads = 1});
}
TEST(CudaAttention, SeveralBlocksOfKeys) {
  for (const int64_t tokens : {256, 257, 384})
    check({.queries = tokens,
           .keys = tokens,
           .dim = 64,
           .value_dim = 64,
           .causal = tokens % 2 == 1,
           .batch = 1,
           .heads = 1});
  // Keys that no query sees, and queries after the last key.
  check({.queries = 70,
         .keys = 300,
         .dim = 16,
         .value_dim = 64,
         .causal = true,
         .batch = 1,
         .heads = 1});
  check({.queries = 270,
         .keys = 140,
         .dim = 64,
         .value_dim = 16,
         .causal = true,
         .batch = 1,
         .heads = 1});
}

/// More heads than the blocks that stay on the device: a block begins the next head while it ends
/// the one before.
TEST(CudaAttention, ManyHeads) {
  check({.queries = 66, .keys = 80, .dim = 8, .value_dim = 16, .batch = 3, .heads = 5});
  check({.queries = 20,
         .keys = 300,
         .dim = 8,
         .value_dim = 8,
         .causal = true,
         .batch = 2,
         .heads = 3});
}

/// Scores of several hundred on either side of zero: weights must neither overflow nor lose rows
/// whose log-sum is far below zero.
TEST(CudaAttention, LargeScores) {
  for (const int64_t keys : {60, 130})
    for (const double added : {-300.0, 300.0})
      check({.queries = 70,
             .keys = keys,
             .dim = 16,
             .value_dim = 16,
             .mask = Mask::additive,
             .batch = 1,
             .added = added});
  for (const int64_t keys : {60, 130})
    check({.queries = 70, .keys = keys, .dim = 64, .value_dim = 16, .batch = 1, .scale = 8});
}

TEST(CudaAttention, Masks) {
  check({.queries = 40, .keys = 61, .dim = 16, .value_dim = 16, .mask = Mask::keys});
  check({.queries = 40,
         .keys = 50,
         .dim = 16,
         .value_dim = 16,
         .mask = Mask::full,
         .hides_a_row = true});
  check({.queries = 70,
         .keys = 90,
         .dim = 16,
         .value_dim = 16,
         .causal = true,
         .mask = Mask::additive});
  check({.queries = 70,
         .keys = 90,
         .dim = 16,
         .value_dim = 16,
         .mask = Mask::full,
         .batch = 1,
         .hides_a_row = true});
}

TEST(CudaAttention, Dropout) {
  for (const int64_t keys : {47, 48})  // pairs of weights in one block of random numbers, and not
    check({.queries = 33, .keys = keys, .dim = 16, .value_dim = 16, .dropout = 0.25});
  check({.queries = 66,
         .keys = 76,
         .dim = 16,
         .value_dim = 16,
         .causal = true,
         .dropout = 0.25,
         .mask = Mask::keys});
  for (const int64_t keys : {136, 206})
    check({.queries = 90,
           .keys = keys,
           .dim = 64,
           .value_dim = 16,
           .dropout = 0.1,
           .mask = Mask::keys,
           .batch = 1,
           .hides_a_row = true});
}

TEST(CudaAttention, PlainKernelsServeTheRest) {
  check({.queries = 40, .keys = 41, .dim = 64, .value_dim = 64, .dtype = DType::f32});
  check({.queries = 20, .keys = 33, .dim = 72, .value_dim = 130});
  check({.queries = 20, .keys = 33, .dim = 12, .value_dim = 20});
  // Rows between multiples of 16 bytes.
  check({.queries = 9, .keys = 9, .dim = 8, .value_dim = 8, .packed = true, .extra = 1});
  check({.queries = 9, .keys = 9, .dim = 8, .value_dim = 8, .packed = true, .extra = 8});
}

TEST(CudaAttentionDeathTest, AnUnknownChoiceIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the choice is read once per process
  EXPECT_EXIT(
      {
        setenv("SING_CUDA_ATTENTION", "fastest", 1);
        try {
          run({.queries = 2, .keys = 2, .dim = 8, .value_dim = 8}, DeviceType::cuda, DType::f32);
        } catch (const ConfigError& error) {
          std::fputs(error.what(), stderr);
          std::exit(7);
        }
      },
      ::testing::ExitedWithCode(7), "must be own, cudnn or auto; got fastest");
}

}  // namespace
}  // namespace sing
