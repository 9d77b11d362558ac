// The fast matrix products against the plain one: layouts, sizes around every block border,
// epilogues, dtypes, batches.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sing/core/random.h"
#include "sing/core/thread_pool.h"
#include "sing/tensor/tensor.h"

namespace sing {
namespace {

using kernels::Epilogue;
using kernels::GemmArgs;

struct Problem {
  int64_t m, n, k;
  bool a_transposed = false, b_transposed = false;
  DType dtype = DType::f32, c_dtype = DType::f32;
  bool accumulate = false, bias = false, slope = false;
  Epilogue epilogue = Epilogue::none;
  int64_t a_extra = 0, b_extra = 0, c_extra = 0;  // added to the leading strides
  int64_t batch = 1;
  bool repeat_b = false;
};

/// The last `unused` columns are NaN: a kernel that lets them take part is found out.
Tensor random_tensor(const Shape& shape, DType dtype, uint64_t position, int64_t unused = 0) {
  Tensor t = Tensor::empty(shape, {.dtype = DType::f64});
  double* values = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    values[i] = i % shape[shape.rank() - 1] >= shape[shape.rank() - 1] - unused
                    ? std::nan("")
                    : random_normal({1, Purpose::test, 0, position}, static_cast<uint64_t>(i));
  return t.to(dtype);
}

struct Result {
  std::vector<double> c, slope;
};

Result run(const Problem& p) {
  const int64_t a_lead = (p.a_transposed ? p.m : p.k) + p.a_extra;
  const int64_t b_lead = (p.b_transposed ? p.k : p.n) + p.b_extra;
  const int64_t c_lead = p.n + p.c_extra;
  const Tensor a =
      random_tensor({p.batch, p.a_transposed ? p.k : p.m, a_lead}, p.dtype, 1, p.a_extra);
  const Tensor b =
      random_tensor({p.batch, p.b_transposed ? p.n : p.k, b_lead}, p.dtype, 2, p.b_extra);
  const Tensor bias = random_tensor({p.n}, p.dtype, 3);
  Tensor c = random_tensor({p.batch, p.m, c_lead}, p.c_dtype, 4);
  Tensor slope = Tensor::zeros({p.batch, p.m, c_lead}, {.dtype = p.c_dtype});
  GemmArgs g{};
  g.a = a.raw();
  g.b = b.raw();
  g.c = c.mutable_raw();
  g.dtype = p.dtype;
  g.c_dtype = p.c_dtype;
  g.m = p.m;
  g.n = p.n;
  g.k = p.k;
  g.a_row = p.a_transposed ? 1 : a_lead;
  g.a_col = p.a_transposed ? a_lead : 1;
  g.b_row = p.b_transposed ? 1 : b_lead;
  g.b_col = p.b_transposed ? b_lead : 1;
  g.c_row = c_lead;
  g.batch_rank = 1;
  g.batch[0] = p.batch;
  g.a_batch[0] = a.stride(0);
  g.b_batch[0] = p.repeat_b ? 0 : b.stride(0);
  g.c_batch[0] = c.stride(0);
  g.accumulate = p.accumulate;
  g.epilogue = p.epilogue;
  g.bias = p.bias ? bias.raw() : nullptr;
  g.slope = p.slope ? slope.mutable_raw() : nullptr;
  kernels::gemm(DeviceType::cpu, g);
  return {c.to_vector(), slope.to_vector()};
}

void expect_close(const Problem& p, const std::vector<double>& got,
                  const std::vector<double>& wanted, const char* what) {
  // f32: the partial sum after j products is about sqrt(j), so k roundings of half a unit add up to
  // about k * 2^-24 / sqrt(2); five times that covers the largest of some 10^5 elements. A bf16
  // result is rounded once more: values reach 5 sqrt(k), and a neighbour may be chosen (2^-8).
  const double k = static_cast<double>(p.k);
  const double narrow = p.c_dtype == DType::bf16 ? 5 * 0x1p-8 * std::sqrt(k + 2) : 0;
  const double allowed = 4 * 0x1p-24 * (k + 16) + narrow;
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(got[i] - wanted[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : 1e30;
  }
  EXPECT_LE(worst, allowed) << what << " m " << p.m << " n " << p.n << " k " << p.k << " ta "
                            << p.a_transposed << " tb " << p.b_transposed << " dtype "
                            << name_of(p.dtype) << " accumulate " << p.accumulate;
}

void check(const Problem& p) {
  const Result fast = run(p);
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  const Result plain = run(p);
  expect_close(p, fast.c, plain.c, "c");
  if (p.slope) expect_close(p, fast.slope, plain.slope, "slope");
}

TEST(Gemm, SizesAroundTheTiles) {
  for (const int64_t m : {1, 5, 11, 12, 13, 25})
    for (const int64_t n : {1, 7, 8, 15, 16, 17, 31, 32, 33, 70})
      for (const int64_t k : {1, 2, 16, 19})
        for (int layout = 0; layout < 4; ++layout)
          check({.m = m,
                 .n = n,
                 .k = k,
                 .a_transposed = (layout & 1) != 0,
                 .b_transposed = (layout & 2) != 0});
}

TEST(Gemm, BlockedSizes) {
  for (int layout = 0; layout < 4; ++layout) {
    const bool ta = (layout & 1) != 0, tb = (layout & 2) != 0;
    check({.m = 130, .n = 300, .k = 70, .a_transposed = ta, .b_transposed = tb});
    check({.m = 61, .n = 65, .k = 1101, .a_transposed = ta, .b_transposed = tb});
    check(
        {.m = 50, .n = 40, .k = 1024, .a_transposed = ta, .b_transposed = tb, .accumulate = true});
    check({.m = 50,
           .n = 40,
           .k = 600,
           .a_transposed = ta,
           .b_transposed = tb,
           .bias = true,
           .slope = true,
           .epilogue = Epilogue::gelu,
           .a_extra = 3,
           .b_extra = 5,
           .c_extra = 7});
  }
}

TEST(Gemm, Epilogues) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Epilogue e : {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::gelu_tanh})
      for (const int64_t k : {30, 520})
        for (const bool accumulate : {false, true})
          check({.m = 30,
                 .n = 50,
                 .k = k,
                 .dtype = dtype,
                 .c_dtype = dtype,
                 .accumulate = accumulate,
                 .bias = true,
                 .slope = true,
                 .epilogue = e});
}

TEST(Gemm, NarrowInputsIntoWideSums) {
  for (int layout = 0; layout < 4; ++layout)
    check({.m = 40,
           .n = 70,
           .k = 530,
           .a_transposed = (layout & 1) != 0,
           .b_transposed = (layout & 2) != 0,
           .dtype = DType::bf16,
           .c_dtype = DType::f32,
           .accumulate = true});
}

TEST(Gemm, NarrowSizesAroundTilesAndPairs) {
  for (const int64_t m : {1, 11, 12, 13, 25})
    for (const int64_t n : {1, 16, 17, 32, 70})
      for (const int64_t k : {1, 2, 3, 32, 33, 67})
        for (int layout = 0; layout < 4; ++layout)
          for (const DType out : {DType::f32, DType::bf16})
            check({.m = m,
                   .n = n,
                   .k = k,
                   .a_transposed = (layout & 1) != 0,
                   .b_transposed = (layout & 2) != 0,
                   .dtype = DType::bf16,
                   .c_dtype = out,
                   .bias = layout == 3});
}

TEST(Gemm, NarrowSlicesStartFromTheBiasAndRoundOnce) {
  for (int layout = 0; layout < 4; ++layout)
    for (const int64_t extra : {0, 1, 2, 3})
      check({.m = 30,
             .n = 450,
             .k = 1102 + extra / 3,
             .a_transposed = (layout & 1) != 0,
             .b_transposed = (layout & 2) != 0,
             .dtype = DType::bf16,
             .c_dtype = DType::bf16,
             .bias = true,
             .a_extra = extra,
             .b_extra = extra,
             .c_extra = 3});
}

TEST(Gemm, NarrowRowsWholePagesApart) {
  check({.m = 30, .n = 40, .k = 64, .dtype = DType::bf16, .a_extra = 2048 - 64});
}

TEST(Gemm, NarrowChunksOfRows) {
  for (int layout = 0; layout < 4; ++layout)
    for (const Epilogue e : {Epilogue::none, Epilogue::gelu})
      check({.m = 300,
             .n = 70,
             .k = 40,
             .a_transposed = (layout & 1) != 0,
             .b_transposed = (layout & 2) != 0,
             .dtype = DType::bf16,
             .c_dtype = DType::bf16,
             .bias = true,
             .epilogue = e,
             .c_extra = 3});
}

TEST(Gemm, Batches) {
  for (const bool repeat : {false, true}) {
    check({.m = 20, .n = 33, .k = 17, .batch = 5, .repeat_b = repeat});
    check({.m = 64, .n = 64, .k = 64, .b_transposed = true, .batch = 9, .repeat_b = repeat});
    check({.m = 64,
           .n = 64,
           .k = 600,
           .b_transposed = true,
           .dtype = DType::bf16,
           .c_dtype = DType::bf16,
           .batch = 3,
           .repeat_b = repeat});
  }
}

TEST(Gemm, EmptySizes) {
  check({.m = 0, .n = 4, .k = 4});
  check({.m = 4, .n = 0, .k = 4});
  check({.m = 4, .n = 4, .k = 0, .bias = true, .epilogue = Epilogue::relu});
  check({.m = 4, .n = 4, .k = 0, .accumulate = true});
}

TEST(Gemm, NothingDependsOnTheNumberOfThreads) {
  const Problem p{.m = 300, .n = 290, .k = 700, .a_transposed = true};
  const int before = num_threads();
  set_num_threads(1);
  const Result one = run(p);
  set_num_threads(3);
  const Result three = run(p);
  set_num_threads(before);
  EXPECT_EQ(one.c, three.c);
}

}  // namespace
}  // namespace sing
