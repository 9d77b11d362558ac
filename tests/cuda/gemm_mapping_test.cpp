// What GemmArgs become for a column-major library, by doing naively what such a library does.
#include "backend/cuda/gemm_mapping.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/core/random.h"

namespace sing::cuda {
namespace {

using kernels::Epilogue;
using kernels::GemmArgs;

double activation(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::relu:
      return x > 0 ? x : 0;
    case Epilogue::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Epilogue::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Epilogue::none:
      break;
  }
  return x;
}

/// Element (r, c) of op(matrix) in one batch; fails where that lies outside of the stored matrix.
int64_t place(const LibraryMatrix& matrix, int64_t r, int64_t c, int64_t batch) {
  const int64_t row = matrix.transposed ? c : r, column = matrix.transposed ? r : c;
  EXPECT_TRUE(row < matrix.rows && column < matrix.cols && matrix.ld >= matrix.rows);
  return row + column * matrix.ld + batch * matrix.batch_stride;
}

double gelu_tanh_grad(double x) {
  const double root = std::sqrt(2 / M_PI), t = std::tanh(root * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x);
}

/// The factor by which our own kernels let a gradient through, from the value before (relu: after).
double gradient(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::relu:
      return x > 0 ? 1 : 0;
    case Epilogue::gelu:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) +
             x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    case Epilogue::gelu_tanh:
      return gelu_tanh_grad(x);
    case Epilogue::none:
      break;
  }
  return 1;
}

/// BGRADB: for each column of D the sum of op(B) over the depth.
void sum_operand(const LibraryProduct& p, const GemmArgs& g) {
  const auto* b = static_cast<const float*>(g.a);
  float* out = static_cast<float*>(g.bias_grad);
  for (int64_t col = 0; col < p.cols; ++col) {
    double sum = g.bias_grad_accumulate ? static_cast<double>(out[col]) : 0;
    for (int64_t k = 0; k < p.depth; ++k) sum += static_cast<double>(b[place(p.b, k, col, 0)]);
    out[col] = static_cast<float>(sum);
  }
}

/// The library's part and the pass after it.
void interpret(const LibraryProduct& p, const GemmArgs& g) {
  const auto *a = static_cast<const float*>(g.b), *b = static_cast<const float*>(g.a);
  float *c = static_cast<float*>(g.c), *slope = static_cast<float*>(g.slope);
  const auto* kept = static_cast<const float*>(g.kept);
  float* d = p.to_slope ? slope : c;
  ASSERT_TRUE(d != nullptr);
  ASSERT_FALSE(p.keeps_input && (slope == nullptr || p.to_slope));
  ASSERT_FALSE(p.c.transposed);
  ASSERT_EQ(p.c.rows, p.rows);
  ASSERT_EQ(p.c.cols, p.cols);
  for (int64_t batch = 0; batch < p.batches; ++batch)
    for (int64_t col = 0; col < p.cols; ++col)
      for (int64_t row = 0; row < p.rows; ++row) {
        double sum = 0;
        for (int64_t k = 0; k < p.depth; ++k)
          sum += static_cast<double>(a[place(p.a, row, k, batch)]) *
                 static_cast<double>(b[place(p.b, k, col, batch)]);
        const int64_t at = place(p.c, row, col, batch);
        if (p.accumulate) sum += static_cast<double>(c[at]);
        if (p.bias) sum += static_cast<double>(static_cast<const float*>(g.bias)[row]);
        if (p.keeps_input) slope[at] = static_cast<float>(sum);
        if (p.activation == LibraryActivation::gelu_tanh_grad) sum *= gelu_tanh_grad(kept[at]);
        d[at] = static_cast<float>(
            p.activation == LibraryActivation::relu        ? activation(Epilogue::relu, sum)
            : p.activation == LibraryActivation::gelu_tanh ? activation(Epilogue::gelu_tanh, sum)
                                                           : sum);
      }
  if (p.bias_grad) sum_operand(p, g);
  if (!p.pass) return;
  for (int64_t batch = 0; batch < p.batches; ++batch)
    for (int64_t col = 0; col < p.cols; ++col)
      for (int64_t row = 0; row < p.rows; ++row) {
        const int64_t at = place(p.c, row, col, batch);
        const double before = static_cast<double>(d[at]);
        c[at] = static_cast<float>(kept != nullptr ? before * gradient(g.epilogue, kept[at])
                                                   : activation(g.epilogue, before));
      }
}

constexpr size_t kMemory = 2000;

const std::vector<float>& numbers() {
  static const std::vector<float> list = [] {
    Random random({3, Purpose::test, 0, 0});
    std::vector<float> made(4 * kMemory);
    for (float& x : made) x = static_cast<float>(random.normal());
    return made;
  }();
  return list;
}
std::vector<float> some_numbers(int part) {
  const auto first = numbers().begin() + part * static_cast<std::ptrdiff_t>(kMemory);
  return {first, first + static_cast<std::ptrdiff_t>(kMemory)};
}

/// GemmArgs over memory of its own.
struct Problem {
  GemmArgs g{};
  std::vector<float> a = some_numbers(0), b = some_numbers(1), bias = some_numbers(2),
                     c = some_numbers(3), slope = c;

  Problem() { g.dtype = g.c_dtype = DType::f32; }
  GemmArgs args(bool with_bias, bool with_slope) {
    g.a = a.data();
    g.b = b.data();
    g.c = c.data();
    g.bias = with_bias ? bias.data() : nullptr;
    g.slope = with_slope ? slope.data() : nullptr;
    return g;
  }
};

void expect_same(const std::vector<float>& got, const std::vector<float>& wanted,
                 const char* what) {
  // Both are sums in f64 of at most 9 products of about 1, rounded to f32.
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - wanted[i]) <= 1e-5f))
      FAIL() << what << " at " << i << ": " << got[i] << ", not " << wanted[i];
}

/// Whether the problem is mapped; when it is, what it does must be what the reference kernel does.
bool check(Problem problem, bool with_bias, bool with_slope, bool fuse, DType mapped_as) {
  GemmArgs asked = problem.args(with_bias, with_slope);
  asked.dtype = asked.c_dtype = mapped_as;
  const std::optional<LibraryProduct> product = map_gemm(asked, fuse);
  if (!product) return false;
  Problem wanted = problem, before = problem;
  interpret(*product, problem.args(with_bias, with_slope));
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  kernels::gemm(DeviceType::cpu, wanted.args(with_bias, false));
  expect_same(problem.c, wanted.c, "c");
  if (!with_slope) return true;
  before.g.epilogue = Epilogue::none;
  kernels::gemm(DeviceType::cpu, before.args(with_bias, false));
  expect_same(problem.slope, before.c, "slope");
  return true;
}

/// Dense operands, the way `layout` says.
Problem dense(int64_t m, int64_t n, int64_t k, int layout = 0, int64_t pad = 0) {
  Problem p;
  GemmArgs& g = p.g;
  g.m = m;
  g.n = n;
  g.k = k;
  g.a_row = (layout & 1) != 0 ? 1 : k + pad;
  g.a_col = (layout & 1) != 0 ? m + pad : 1;
  g.b_row = (layout & 2) != 0 ? 1 : n + pad;
  g.b_col = (layout & 2) != 0 ? k + pad : 1;
  g.c_row = n + pad;
  return p;
}

void add_batch(GemmArgs& g, int64_t count, int64_t a, int64_t b, int64_t c) {
  const auto d = static_cast<size_t>(g.batch_rank++);
  g.batch[d] = count;
  g.a_batch[d] = a;
  g.b_batch[d] = b;
  g.c_batch[d] = c;
}

TEST(GemmMapping, EveryDenseLayoutAndSize) {
  for (const int64_t m : {1, 2, 5})
    for (const int64_t n : {1, 3, 8})
      for (const int64_t k : {1, 4})
        for (int layout = 0; layout < 4; ++layout)
          for (const int64_t pad : {0, 3})
            for (const bool accumulate : {false, true}) {
              Problem p = dense(m, n, k, layout, pad);
              p.g.accumulate = accumulate;
              EXPECT_TRUE(check(p, accumulate, false, true, DType::f32))
                  << m << ' ' << n << ' ' << k << ' ' << layout << ' ' << pad;
            }
}

TEST(GemmMapping, EveryEpilogue) {
  for (const Epilogue e : {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::gelu_tanh})
    for (const bool bias : {false, true})
      for (const bool slope : {false, true})
        for (const bool fuse : {false, true})
          for (const DType dtype : {DType::f32, DType::bf16})
            for (const int64_t n : {5, 8}) {
              Problem p = dense(6, n, 4);
              p.g.epilogue = e;
              p.g.accumulate = n == 5;
              // Nothing to keep without an activation.
              EXPECT_EQ(check(p, bias, slope, fuse, dtype), !slope || e != Epilogue::none);
            }
}

TEST(GemmMapping, LibraryActivationsOnlyWhereTheyAreOurs) {
  const auto product = [](Epilogue e, int64_t n, bool slope, bool fuse, DType dtype) {
    Problem p = dense(6, n, 4);
    p.g.epilogue = e;
    GemmArgs g = p.args(true, slope);
    g.dtype = g.c_dtype = dtype;
    return *map_gemm(g, fuse);
  };
  const auto relu = product(Epilogue::relu, 8, false, true, DType::f32);
  EXPECT_EQ(relu.activation, LibraryActivation::relu);
  EXPECT_FALSE(relu.pass);
  const auto tanh = product(Epilogue::gelu_tanh, 8, true, true, DType::bf16);
  EXPECT_EQ(tanh.activation, LibraryActivation::gelu_tanh);
  EXPECT_TRUE(tanh.keeps_input);
  EXPECT_FALSE(tanh.pass || tanh.to_slope);
  // What is kept needs columns of whole 16 bytes; f32 and the exact form are not the library's.
  for (const auto& other : {product(Epilogue::gelu_tanh, 12, true, true, DType::bf16),
                            product(Epilogue::gelu_tanh, 8, true, true, DType::f32),
                            product(Epilogue::gelu, 8, true, true, DType::bf16),
                            product(Epilogue::relu, 8, true, true, DType::bf16),
                            product(Epilogue::gelu_tanh, 8, true, false, DType::bf16)}) {
    EXPECT_EQ(other.activation, LibraryActivation::none);
    EXPECT_TRUE(other.pass && other.to_slope);
    EXPECT_FALSE(other.keeps_input);
  }
  const auto in_place = product(Epilogue::gelu, 8, false, true, DType::bf16);
  EXPECT_TRUE(in_place.pass);
  EXPECT_FALSE(in_place.to_slope);
}

TEST(GemmMapping, GradientsThroughActivations) {
  for (const Epilogue e : {Epilogue::relu, Epilogue::gelu, Epilogue::gelu_tanh})
    for (const bool fuse : {false, true})
      for (const DType dtype : {DType::f32, DType::bf16})
        for (const int64_t n : {5, 8})
          for (int layout = 0; layout < 4; ++layout) {
            Problem p = dense(6, n, 4, layout);
            p.g.epilogue = e;
            GemmArgs asked = p.args(false, false);
            asked.kept = p.slope.data();
            asked.bias_grad = p.bias.data();  // the sums of C are not the library's
            asked.bias_grad_dtype = dtype;
            asked.dtype = asked.c_dtype = dtype;
            const LibraryProduct product = *map_gemm(asked, fuse);
            // The library has the tanh form, in bf16, for what is kept in columns of 16 bytes.
            const bool library =
                fuse && e == Epilogue::gelu_tanh && dtype == DType::bf16 && n % 8 == 0;
            EXPECT_EQ(product.activation == LibraryActivation::gelu_tanh_grad, library);
            EXPECT_EQ(product.pass, !library);
            EXPECT_FALSE(product.keeps_input || product.to_slope || product.bias_grad);
            GemmArgs g = p.args(false, false);
            g.kept = p.slope.data();
            Problem plain = p;
            plain.g.epilogue = Epilogue::none;
            interpret(product, g);
            const backend::KernelPathGuard guard(backend::KernelPath::reference);
            kernels::gemm(DeviceType::cpu, plain.args(false, false));
            for (size_t i = 0; i < static_cast<size_t>(6 * n); ++i)
              plain.c[i] *= static_cast<float>(gradient(e, static_cast<double>(p.slope[i])));
            expect_same(p.c, plain.c, "c");
          }
}

TEST(GemmMapping, BiasGradients) {
  for (const bool fuse : {false, true})
    for (const bool accumulate : {false, true})
      for (const int64_t m : {1, 4, 6})
        for (const int64_t k : {1, 5}) {
          Problem p = dense(m, 3, k, 1);  // A as the transpose of dY
          p.g.accumulate = accumulate;
          p.g.bias_grad_accumulate = accumulate;
          p.g.bias_grad_dtype = DType::f32;
          Problem wanted = p;
          const auto with_sums = [](Problem& problem) {
            GemmArgs g = problem.args(false, false);
            g.bias_grad = problem.bias.data();
            return g;
          };
          const LibraryProduct product = *map_gemm(with_sums(p), fuse);
          EXPECT_EQ(product.bias_grad, fuse);
          if (!fuse) continue;
          interpret(product, with_sums(p));
          const backend::KernelPathGuard guard(backend::KernelPath::reference);
          kernels::gemm(DeviceType::cpu, with_sums(wanted));
          expect_same(p.c, wanted.c, "c");
          expect_same(p.bias, wanted.bias, "bias gradient");
        }
}

TEST(GemmMapping, BiasGradientsAreNotNarrowedOnTheWay) {
  const auto mapped = [](DType dtype, DType c_dtype, DType bias_grad_dtype) {
    Problem p = dense(4, 3, 6, 1);
    GemmArgs g = p.args(false, false);
    g.bias_grad = p.bias.data();
    g.dtype = dtype;
    g.c_dtype = c_dtype;
    g.bias_grad_dtype = bias_grad_dtype;
    return map_gemm(g, true)->bias_grad;
  };
  EXPECT_TRUE(mapped(DType::bf16, DType::f32, DType::f32));
  EXPECT_TRUE(mapped(DType::bf16, DType::f32, DType::bf16));
  EXPECT_TRUE(mapped(DType::bf16, DType::bf16, DType::bf16));
  EXPECT_FALSE(mapped(DType::bf16, DType::bf16, DType::f32));  // D's dtype is the library's
}

TEST(GemmMapping, ALinearLayerAsItsThreeProducts) {
  // (rows, in) x (out, in): y = x W^T, dW = dy^T x, dx = dy W.
  constexpr int64_t rows = 5, in = 3, out = 4;
  Problem forward = dense(rows, out, in, 2);
  const LibraryProduct y = *map_gemm(forward.args(true, false), true);
  EXPECT_EQ(y.rows, out);
  EXPECT_EQ(y.cols, rows);
  EXPECT_EQ(y.depth, in);
  EXPECT_TRUE(y.a.transposed);
  EXPECT_FALSE(y.b.transposed);
  EXPECT_EQ(y.a.ld, in);
  EXPECT_EQ(y.b.ld, in);
  EXPECT_EQ(y.c.ld, out);
  Problem weight = dense(out, in, rows, 1);
  weight.g.accumulate = true;
  const LibraryProduct dw = *map_gemm(weight.args(false, false), true);
  EXPECT_FALSE(dw.a.transposed);
  EXPECT_TRUE(dw.b.transposed);
  EXPECT_TRUE(dw.accumulate);
  EXPECT_TRUE(check(forward, true, false, true, DType::f32));
  EXPECT_TRUE(check(weight, false, false, true, DType::f32));
}

TEST(GemmMapping, BatchesOfOneMatrixBecomeRows) {
  Problem p = dense(3, 4, 5);
  add_batch(p.g, 2, 6 * 5, 0, 6 * 4);
  add_batch(p.g, 2, 3 * 5, 0, 3 * 4);
  const auto product = *map_gemm(p.args(false, false), true);
  EXPECT_EQ(product.cols, 12);
  EXPECT_EQ(product.batches, 1);
  EXPECT_TRUE(check(p, true, false, true, DType::f32));
  Problem rows = dense(1, 4, 5);  // vectors that lie apart
  add_batch(rows.g, 6, 7, 0, 9);
  EXPECT_EQ(map_gemm(rows.args(false, false), true)->cols, 6);
  EXPECT_TRUE(check(rows, true, false, true, DType::f32));
}

TEST(GemmMapping, StridedBatches) {
  for (int layout = 0; layout < 4; ++layout) {
    Problem p = dense(3, 4, 5, layout, 1);
    add_batch(p.g, 2, 300, 200, 240);
    add_batch(p.g, 3, 100, 0, 80);  // B repeats inside: not one stride
    EXPECT_FALSE(check(p, false, false, true, DType::f32));
    p.g.b_batch = {0, 0};
    EXPECT_TRUE(check(p, false, false, true, DType::f32));
    p.g.b_batch = {300, 100};
    EXPECT_TRUE(check(p, true, false, true, DType::f32));
    p.g.epilogue = Epilogue::gelu;
    EXPECT_TRUE(check(p, true, true, true, DType::f32));
    p.g.a_batch = {100, 200};  // another order of dimensions than in B and C
    EXPECT_FALSE(check(p, false, false, true, DType::f32));
  }
  Problem heads = dense(3, 4, 5);  // heads inside rows, as attention has them
  heads.g.a_row = 10;
  heads.g.b_row = 8;
  heads.g.c_row = 8;
  add_batch(heads.g, 2, 5, 4, 4);
  EXPECT_EQ(map_gemm(heads.args(false, false), true)->batches, 2);
  EXPECT_TRUE(check(heads, false, false, true, DType::f32));
}

TEST(GemmMapping, WhatTheLibraryCannotDo) {
  const auto mapped = [](const Problem& problem, DType dtype = DType::f32,
                         DType c_dtype = DType::f32, bool bias = false) {
    Problem p = problem;
    GemmArgs g = p.args(bias, false);
    g.dtype = dtype;
    g.c_dtype = c_dtype;
    return map_gemm(g, true).has_value();
  };
  const Problem plain = dense(3, 4, 5);
  EXPECT_TRUE(mapped(plain));
  EXPECT_TRUE(mapped(plain, DType::bf16, DType::f32));
  EXPECT_FALSE(mapped(plain, DType::bf16, DType::f32, true));
  EXPECT_FALSE(mapped(plain, DType::f64, DType::f64));
  EXPECT_FALSE(mapped(plain, DType::f16, DType::f16));
  EXPECT_FALSE(mapped(plain, DType::f32, DType::bf16));
  for (int64_t GemmArgs::*size : {&GemmArgs::m, &GemmArgs::n, &GemmArgs::k}) {
    Problem p = plain;
    p.g.*size = 0;
    EXPECT_FALSE(mapped(p));
  }
  Problem empty = plain;
  add_batch(empty.g, 0, 15, 20, 12);
  EXPECT_FALSE(mapped(empty));
  Problem gaps = plain;  // no dense dimension
  gaps.g.a_col = 2;
  EXPECT_FALSE(mapped(gaps));
  Problem repeated = plain;  // rows on top of each other
  repeated.g.a_row = 0;
  EXPECT_FALSE(mapped(repeated));
  Problem overlapping = plain;
  overlapping.g.b_row = 3;
  EXPECT_FALSE(mapped(overlapping));
  Problem shared = plain;  // all batches into one result
  add_batch(shared.g, 2, 15, 20, 0);
  EXPECT_FALSE(mapped(shared));
  Problem long_rows = plain;
  long_rows.g.m = int64_t{1} << 31;
  EXPECT_FALSE(mapped(long_rows));
}

TEST(GemmMapping, RandomProblemsAreRightOrLeftAlone) {
  Random random({11, Purpose::test, 0, 0});
  const auto pick = [&](uint64_t n) { return static_cast<int64_t>(random.below(n)); };
  int taken = 0;
  for (int i = 0; i < 2000; ++i) {
    Problem p = dense(1 + pick(6), 1 + pick(9), 1 + pick(6), static_cast<int>(pick(4)), pick(2));
    GemmArgs& g = p.g;
    for (int64_t d = pick(3); d > 0; --d)
      add_batch(g, 1 + pick(3), pick(2) * 90 * d, pick(2) * 90 * d, 90 * d * (d == 1 ? 1 : 3));
    if (pick(6) == 0) g.a_col = pick(3);
    if (pick(6) == 0) g.b_row = pick(9);
    g.accumulate = pick(2) == 0;
    g.epilogue = static_cast<Epilogue>(pick(4));
    taken +=
        check(p, pick(2) == 0, pick(2) == 0, pick(2) == 0, pick(2) == 0 ? DType::f32 : DType::bf16)
            ? 1
            : 0;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace sing::cuda
