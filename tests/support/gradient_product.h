#pragma once
// Products with GemmArgs::kept or bias_grad against sums in f64, on either kind of device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gemm.h"
#include "sing/core/random.h"
#include "sing/tensor/tensor.h"

namespace sing::test {

struct GradientProduct {
  int64_t m, n, k;
  DType dtype = DType::f32, c_dtype = DType::f32;
  kernels::Epilogue through = kernels::Epilogue::none;  // none: no `kept`
  bool bias_grad = false;
  DType bias_grad_dtype = DType::f32;
  bool accumulate = false, bias_grad_accumulate = false;
  bool b_transposed = false;
};

/// Of C, where a gradient passes through an activation; else the sums are of A, a transpose.
inline bool sums_columns(const GradientProduct& p) {
  return p.through != kernels::Epilogue::none;
}
inline bool transposes_a(const GradientProduct& p) {
  return p.bias_grad && !sums_columns(p);
}

struct GradientResult {
  std::vector<double> c, bias_grad;
};

inline Tensor normal_tensor(const Shape& shape, DType dtype, uint64_t position) {
  Tensor t = Tensor::empty(shape, {.dtype = DType::f64});
  double* values = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    values[i] = random_normal({2, Purpose::test, 0, position}, static_cast<uint64_t>(i));
  return t.to(dtype);
}

/// The factor that `kept` stands for: backends keep different things (GemmArgs::slope).
inline double factor(kernels::Epilogue through, DeviceType type, double x) {
  using kernels::Epilogue;
  if (through == Epilogue::none) return 1;
  if (through == Epilogue::relu) return x > 0 ? 1 : 0;
  if (type == DeviceType::cpu) return x;
  const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
  if (through == Epilogue::gelu) return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * density;
  const double root = std::sqrt(2 / M_PI), t = std::tanh(root * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x);
}

/// The inputs of a problem; `old_c` and `old_bias_grad` are NaN where nothing is accumulated.
struct GradientOperands {
  Tensor a, b, kept, old_c, old_bias_grad;

  explicit GradientOperands(const GradientProduct& p) {
    const auto output = [&](const Shape& shape, DType dtype, bool adds, uint64_t position) {
      return adds ? normal_tensor(shape, dtype, position)
                  : Tensor::full(shape, std::numeric_limits<double>::quiet_NaN(), {.dtype = dtype});
    };
    a = normal_tensor(transposes_a(p) ? Shape{p.k, p.m} : Shape{p.m, p.k}, p.dtype, 1);
    b = normal_tensor(p.b_transposed ? Shape{p.n, p.k} : Shape{p.k, p.n}, p.dtype, 2);
    kept = normal_tensor({p.m, p.n}, p.c_dtype, 3);
    old_c = output({p.m, p.n}, p.c_dtype, p.accumulate, 4);
    old_bias_grad =
        output({sums_columns(p) ? p.n : p.m}, p.bias_grad_dtype, p.bias_grad_accumulate, 5);
  }
};

inline GradientResult run(const GradientProduct& p, const GradientOperands& in, DeviceType type) {
  const Device device{type, 0};
  const Tensor a = in.a.to(device), b = in.b.to(device), kept = in.kept.to(device);
  // Never the operands themselves.
  Tensor c = in.old_c.clone().to(device), bias_grad = in.old_bias_grad.clone().to(device);
  kernels::GemmArgs g{};
  g.a = a.raw();
  g.b = b.raw();
  g.c = c.mutable_raw();
  g.dtype = p.dtype;
  g.c_dtype = p.c_dtype;
  g.m = p.m;
  g.n = p.n;
  g.k = p.k;
  g.a_row = transposes_a(p) ? 1 : p.k;
  g.a_col = transposes_a(p) ? p.m : 1;
  g.b_row = p.b_transposed ? 1 : p.n;
  g.b_col = p.b_transposed ? p.k : 1;
  g.c_row = p.n;
  g.accumulate = p.accumulate;
  g.epilogue = p.through;
  g.kept = p.through == kernels::Epilogue::none ? nullptr : kept.raw();
  g.bias_grad = p.bias_grad ? bias_grad.mutable_raw() : nullptr;
  g.bias_grad_dtype = p.bias_grad_dtype;
  g.bias_grad_accumulate = p.bias_grad_accumulate;
  kernels::gemm(type, g);
  return {c.to_vector(), p.bias_grad ? bias_grad.to_vector() : std::vector<double>()};
}

inline GradientResult expected(const GradientProduct& p, const GradientOperands& in,
                               DeviceType type) {
  const std::vector<double> a = in.a.to_vector(), b = in.b.to_vector(), kept = in.kept.to_vector(),
                            old_c = in.old_c.to_vector(), old = in.old_bias_grad.to_vector();
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  GradientResult r;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = p.accumulate ? old_c[at(i * p.n + j)] : 0;
      for (int64_t q = 0; q < p.k; ++q)
        sum += a[at(transposes_a(p) ? q * p.m + i : i * p.k + q)] *
               b[at(p.b_transposed ? j * p.k + q : q * p.n + j)];
      r.c.push_back(sum * factor(p.through, type, kept[at(i * p.n + j)]));
    }
  const bool columns = sums_columns(p);
  for (int64_t i = 0; p.bias_grad && i < (columns ? p.n : p.m); ++i) {
    double sum = p.bias_grad_accumulate ? old[at(i)] : 0;
    for (int64_t q = 0; q < (columns ? p.m : p.k); ++q)
      sum += columns ? r.c[at(q * p.n + i)] : a[at(q * p.m + i)];
    r.bias_grad.push_back(sum);
  }
  return r;
}

inline void expect_close(const std::vector<double>& got, const std::vector<double>& wanted,
                         double allowed, const char* what, const GradientProduct& p) {
  ASSERT_EQ(got.size(), wanted.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(got[i] - wanted[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : 1e30;
  }
  EXPECT_LE(worst, allowed) << what << " m " << p.m << " n " << p.n << " k " << p.k << " dtype "
                            << name_of(p.dtype) << " through " << static_cast<int>(p.through)
                            << " accumulate " << p.accumulate << p.bias_grad_accumulate;
}

inline void check(const GradientProduct& p, DeviceType type) {
  const GradientOperands operands(p);
  const GradientResult got = run(p, operands, type), wanted = expected(p, operands, type);
  // Partial sums of k products reach sqrt(k), so that k roundings of half a unit add up to about
  // k 2^-24; a factor reaches 5. In bf16 up to two roundings of values of up to 5 sqrt(k), times 5
  // at most: elements of both extremes at once do not occur.
  const double k = static_cast<double>(p.k);
  const auto allowed = [&](DType dtype) {
    return 8 * 0x1p-24 * (k + 16) + (dtype == DType::bf16 ? 2 * 5 * 0x1p-8 * std::sqrt(k + 2) : 0);
  };
  expect_close(got.c, wanted.c, allowed(p.c_dtype), "c", p);
  // m independent errors of elements add up to sqrt(m) of one.
  const double sums =
      sums_columns(p) ? std::sqrt(static_cast<double>(p.m)) * allowed(p.c_dtype) : 0;
  expect_close(got.bias_grad, wanted.bias_grad, allowed(p.bias_grad_dtype) + sums, "bias_grad", p);
}

/// Every meaning of both fields around sizes of `depths`.
inline void check_gradient_products(DeviceType type, std::initializer_list<int64_t> depths) {
  using kernels::Epilogue;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t k : depths) {
      for (const Epilogue through : {Epilogue::relu, Epilogue::gelu, Epilogue::gelu_tanh})
        for (const int64_t m : {20, 21})
          for (const int64_t n : {40, 37})
            check({.m = m,
                   .n = n,
                   .k = k,
                   .dtype = dtype,
                   .c_dtype = dtype,
                   .through = through,
                   .bias_grad = n == 40,
                   .bias_grad_dtype = m == 20 ? dtype : DType::f32,
                   .bias_grad_accumulate = k % 2 == 0,
                   .b_transposed = m % 2 == 0},
                  type);
      for (const bool accumulate : {false, true})
        for (const bool adds : {false, true})
          for (const DType c_dtype : {DType::f32, dtype})
            for (const DType bias_grad_dtype : {DType::f32, dtype})
              for (const int64_t m : {24, 19})
                check({.m = m,
                       .n = 34,
                       .k = k,
                       .dtype = dtype,
                       .c_dtype = c_dtype,
                       .bias_grad = true,
                       .bias_grad_dtype = bias_grad_dtype,
                       .accumulate = accumulate,
                       .bias_grad_accumulate = adds},
                      type);
    }
  // No products: the gradient is 0, or what was there.
  check({.m = 8, .n = 8, .k = 0, .through = Epilogue::gelu}, type);
  check({.m = 8, .n = 8, .k = 0, .bias_grad = true, .bias_grad_accumulate = true}, type);
  check({.m = 8, .n = 0, .k = 6, .bias_grad = true}, type);
  check({.m = 0, .n = 8, .k = 6, .through = Epilogue::relu, .bias_grad = true}, type);
}

}  // namespace sing::test
