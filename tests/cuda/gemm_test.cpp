// Matrix products on the device against the plain ones of the CPU: layouts, borders of tiles,
// batches, epilogues, dtypes.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sing/backend/kernel_slot.h"
#include "sing/backend/plugin.h"
#include "sing/core/random.h"
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
  int64_t a_extra = 0, b_extra = 0, c_extra = 0;  // unused columns, NaN in the operands
  int64_t batch = 1, heads = 1;
  bool repeat_b = false;
};

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

Result run(const Problem& p, DeviceType type) {
  const Device device{type, 0};
  const int64_t a_lead = (p.a_transposed ? p.m : p.k) + p.a_extra;
  const int64_t b_lead = (p.b_transposed ? p.k : p.n) + p.b_extra;
  const int64_t c_lead = p.n + p.c_extra, batches = p.batch * p.heads;
  const auto make = [&](const Shape& shape, DType dtype, uint64_t position, int64_t unused = 0) {
    return random_tensor(shape, dtype, position, unused).to(device);
  };
  const Tensor a = make({batches, p.a_transposed ? p.k : p.m, a_lead}, p.dtype, 1, p.a_extra);
  const Tensor b = make({batches, p.b_transposed ? p.n : p.k, b_lead}, p.dtype, 2, p.b_extra);
  const Tensor bias = make({p.n}, p.dtype, 3);
  Tensor c = make({batches, p.m, c_lead}, p.c_dtype, 4);
  Tensor slope = c.clone();  // untouched columns of both must stay as they are
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
  // Heads run fastest in A and C, and not at all in B when it repeats.
  g.batch_rank = 2;
  g.batch = {p.batch, p.heads};
  g.a_batch = {a.stride(0) * p.heads, a.stride(0)};
  g.b_batch = {b.stride(0) * p.heads, p.repeat_b ? 0 : b.stride(0)};
  g.c_batch = {c.stride(0) * p.heads, c.stride(0)};
  g.accumulate = p.accumulate;
  g.epilogue = p.epilogue;
  g.bias = p.bias ? bias.raw() : nullptr;
  g.slope = p.slope ? slope.mutable_raw() : nullptr;
  kernels::gemm(type, g);
  return {c.to_vector(), slope.to_vector()};
}

void expect_close(const Problem& p, const std::vector<double>& got,
                  const std::vector<double>& wanted, const char* what) {
  ASSERT_EQ(got.size(), wanted.size());
  // f32: k roundings of partial sums of about sqrt(k) add up to about k * 2^-24; bf16 results are
  // rounded once more, from values of up to 5 sqrt(k).
  const double k = static_cast<double>(p.k);
  const double narrow = p.c_dtype == DType::bf16 ? 5 * 0x1p-8 * std::sqrt(k + 2) : 0;
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(got[i] - wanted[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : 1e30;
  }
  EXPECT_LE(worst, 4 * 0x1p-24 * (k + 16) + narrow)
      << what << " m " << p.m << " n " << p.n << " k " << p.k << " ta " << p.a_transposed << " tb "
      << p.b_transposed << " dtype " << name_of(p.dtype) << " accumulate " << p.accumulate;
}

void check(const Problem& p) {
  ASSERT_TRUE(backend::backend_state(DeviceType::cuda).usable);
  const Result got = run(p, DeviceType::cuda);
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  const Result wanted = run(p, DeviceType::cpu);
  expect_close(p, got.c, wanted.c, "c");
  if (!p.slope) return;
  Problem before = p;  // what CUDA keeps for backward is the value before the activation
  before.epilogue = Epilogue::none;
  expect_close(p, got.slope, run(before, DeviceType::cpu).c, "slope");
}

TEST(CudaGemm, BordersOfTiles) {
  for (const int64_t m : {1, 63, 65})
    for (const int64_t n : {1, 64, 67})
      for (const int64_t k : {1, 16, 33})
        for (int layout = 0; layout < 4; ++layout)
          check({.m = m,
                 .n = n,
                 .k = k,
                 .a_transposed = (layout & 1) != 0,
                 .b_transposed = (layout & 2) != 0});
}

TEST(CudaGemm, Epilogues) {
  for (const Epilogue e : {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::gelu_tanh})
    for (const bool slope : {false, true})
      for (const DType dtype : {DType::f32, DType::bf16})
        for (const int64_t extra : {0, 3})
          for (const int64_t k : {18, 19})  // the emulated library refuses odd depths
            check({.m = 20 + k % 2,
                   .n = 72,
                   .k = k,
                   .dtype = dtype,
                   .c_dtype = dtype,
                   .accumulate = extra != 0,
                   .bias = true,
                   .slope = slope,
                   .epilogue = e,
                   .a_extra = extra,
                   .b_extra = extra,
                   .c_extra = extra});
}

TEST(CudaGemm, ReluKeepsNaN) {
  const Device cuda{DeviceType::cuda, 0};
  ASSERT_TRUE(backend::backend_state(DeviceType::cuda).usable);
  for (const int64_t k : {7, 8}) {
    const Tensor a = Tensor::full({8, k}, std::nan("")).to(cuda),
                 b = Tensor::full({k, 8}, 1).to(cuda);
    Tensor c = Tensor::zeros({8, 8}).to(cuda);
    GemmArgs g{};
    g.a = a.raw();
    g.b = b.raw();
    g.c = c.mutable_raw();
    g.dtype = g.c_dtype = DType::f32;
    g.m = g.n = 8;
    g.k = g.a_row = k;
    g.b_row = g.c_row = 8;
    g.a_col = g.b_col = 1;
    g.epilogue = Epilogue::relu;
    kernels::gemm(DeviceType::cuda, g);
    for (const double x : c.to_vector()) EXPECT_TRUE(std::isnan(x)) << "k " << k;
  }
}

double exact(Epilogue epilogue, double x) {
  const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
  return epilogue == Epilogue::gelu ? 0.5 * x * std::erfc(-x / std::sqrt(2.0)) : 0.5 * x * (1 + t);
}

TEST(CudaGemm, GeluOverItsRange) {
  const Device cuda{DeviceType::cuda, 0};
  ASSERT_TRUE(backend::backend_state(DeviceType::cuda).usable);
  Tensor x = Tensor::empty({200, 8}, {.dtype = DType::f32}), unit = Tensor::zeros({8, 8});
  for (int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data<float>()[i] = static_cast<float>(i - 800) / 80;  // -10 to 10
  for (int64_t i = 0; i < 8; ++i) unit.mutable_data<float>()[i * 9] = 1;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Epilogue e : {Epilogue::gelu, Epilogue::gelu_tanh}) {
      const std::vector<double> xs = x.to(dtype).to_vector();
      const Tensor a = x.to(dtype).to(cuda), b = unit.to(dtype).to(cuda);
      Tensor c = Tensor::empty({200, 8}, {.dtype = dtype, .device = cuda});
      GemmArgs g{};
      g.a = a.raw();
      g.b = b.raw();
      g.c = c.mutable_raw();
      g.dtype = g.c_dtype = dtype;
      g.m = 200;
      g.n = g.k = g.a_row = g.b_row = g.c_row = 8;
      g.a_col = g.b_col = 1;
      g.epilogue = e;
      kernels::gemm(DeviceType::cuda, g);
      const std::vector<double> got = c.to_vector();
      // One rounding of the result; the functions are good to 1e-6 of the values around 1.
      const double eps = dtype == DType::bf16 ? 0x1p-8 : 0;
      for (size_t i = 0; i < got.size(); ++i) {
        const double wanted = exact(e, xs[i]);
        EXPECT_NEAR(got[i], wanted, eps * std::abs(wanted) + 3e-6)
            << name_of(dtype) << ' ' << xs[i];
      }
    }
}

TEST(CudaGemm, NarrowOperandsAddToAWideResult) {
  for (const bool accumulate : {false, true})
    check({.m = 40,
           .n = 30,
           .k = 100,
           .a_transposed = true,
           .dtype = DType::bf16,
           .accumulate = accumulate});
}

TEST(CudaGemm, Batches) {
  for (const bool repeat : {false, true})
    check({.m = 20, .n = 33, .k = 17, .batch = 3, .heads = 2, .repeat_b = repeat});
  check({.m = 8,
         .n = 5,
         .k = 4,
         .b_transposed = true,
         .dtype = DType::bf16,
         .c_dtype = DType::bf16,
         .batch = 2,
         .heads = 5});
}

TEST(CudaGemm, EmptySizes) {
  check({.m = 0, .n = 4, .k = 4});
  check({.m = 4, .n = 0, .k = 4});
  check({.m = 4, .n = 4, .k = 4, .batch = 0});
  check({.m = 4, .n = 4, .k = 0, .bias = true, .epilogue = Epilogue::relu});
  check({.m = 4, .n = 4, .k = 0, .accumulate = true});
}

}  // namespace
}  // namespace sing
