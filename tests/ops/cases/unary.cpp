#include "sing/ops/unary.h"

#include <cmath>

#include "sing/ops/arithmetic.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using Op = std::function<Tensor(const Tensor&)>;
using Value = std::function<double(double)>;

/// The samples every element-wise op of one tensor gets.
void unary_case(OpCase& c, const Op& op, const Value& value, const Fill& fill = Fill::normal()) {
  c.covers({"unary_fwd", "unary_bwd"});
  c.dtypes({DType::f32, DType::bf16, DType::f16});
  c.terms(1);
  const auto run = [op](const Inputs& i) { return op(i["x"]); };
  const auto formula = [value](const Inputs& i) {
    std::vector<double> y = i["x"].to_vector();
    for (double& v : y) v = value(v);
    return y;
  };
  c.sample("matrix", {in("x", {3, 7}, fill)}, run, formula);
  c.sample("image", {in("x", {2, 3, 4, 5}, fill)}, run, formula);
  c.sample("scalar", {in("x", {}, fill)}, run, formula);
  c.sample("one", {in("x", {1, 1}, fill)}, run, formula);
  c.sample("empty", {in("x", {3, 0}, fill)}, run, formula);
  c.sample("just over a chunk", {in("x", {(1 << 13) + 17}, fill)}, run, formula);
  c.rejects<DTypeError>("wanted a floating tensor; got i64 (2)",
                        [op] { op(Tensor::zeros({2}, {.dtype = DType::i64})); });
}

/// For functions that a device computes to a few units in the last place and that are then squared
/// or taken from 1; at most as much again as the default.
void allow_device_functions(OpCase& c) {
  c.tolerance(DType::f32, 16 * 0x1p-24);
}

double sigmoid_of(double x) {
  return 1 / (1 + std::exp(-x));
}

}  // namespace

SING_OP_CASE(add_scalar) {
  unary_case(
      c, [](const Tensor& x) { return x + 0.75; }, [](double x) { return x + 0.75; });
}
SING_OP_CASE(mul_scalar) {
  unary_case(
      c, [](const Tensor& x) { return 3.0 * x; }, [](double x) { return 3 * x; });
}
SING_OP_CASE(affine) {
  unary_case(
      c, [](const Tensor& x) { return 2.0 - x; }, [](double x) { return 2 - x; });
}
SING_OP_CASE(pow) {
  c.plain_kernels_only();
  allow_device_functions(c);  // powf of CUDA: 4 units
  unary_case(
      c, [](const Tensor& x) { return ops::pow(x, 2.5); },
      [](double x) { return std::pow(x, 2.5); }, Fill::positive());
}
SING_OP_CASE(neg) {
  unary_case(c, ops::neg, [](double x) { return -x; });
}
SING_OP_CASE(abs) {
  unary_case(
      c, ops::abs, [](double x) { return std::abs(x); }, Fill::away_from({0}));
}
SING_OP_CASE(exp) {
  unary_case(c, ops::exp, [](double x) { return std::exp(x); });
}
SING_OP_CASE(log) {
  unary_case(
      c, ops::log, [](double x) { return std::log(x); }, Fill::positive());
}
SING_OP_CASE(sqrt) {
  unary_case(
      c, ops::sqrt, [](double x) { return std::sqrt(x); }, Fill::positive());
}
SING_OP_CASE(rsqrt) {
  unary_case(
      c, ops::rsqrt, [](double x) { return 1 / std::sqrt(x); }, Fill::positive());
}
SING_OP_CASE(square) {
  unary_case(c, ops::square, [](double x) { return x * x; });
}
SING_OP_CASE(reciprocal) {
  unary_case(
      c, ops::reciprocal, [](double x) { return 1 / x; }, Fill::positive());
}
SING_OP_CASE(sin) {
  c.plain_kernels_only();
  unary_case(c, ops::sin, [](double x) { return std::sin(x); });
}
SING_OP_CASE(cos) {
  c.plain_kernels_only();
  unary_case(c, ops::cos, [](double x) { return std::cos(x); });
}
SING_OP_CASE(erf) {
  unary_case(c, ops::erf, [](double x) { return std::erf(x); });
}
SING_OP_CASE(sigmoid) {
  c.gradient_floor(0.1);  // 1 - y cancels near y = 1
  unary_case(c, ops::sigmoid, sigmoid_of, Fill::normal(3));
}
SING_OP_CASE(tanh) {
  // tanhf of CUDA: 2 units, of which 1 - y^2 makes 4, and 7 times as much where y^2 is 6/7.
  c.tolerance(DType::f32, 32 * 0x1p-24);
  unary_case(c, ops::tanh, [](double x) { return std::tanh(x); });
}
SING_OP_CASE(relu) {
  unary_case(
      c, ops::relu, [](double x) { return std::max(x, 0.0); }, Fill::away_from({0}));
}
SING_OP_CASE(silu) {
  unary_case(
      c, ops::silu, [](double x) { return x * sigmoid_of(x); }, Fill::normal(2));
}
SING_OP_CASE(softplus) {
  c.plain_kernels_only();
  unary_case(
      c, [](const Tensor& x) { return ops::softplus(x, 2, 4); },
      [](double x) { return 2 * x > 4 ? x : std::log1p(std::exp(2 * x)) / 2; },
      Fill::away_from({2}));
  c.rejects<ShapeError>("softplus: wanted beta above 0",
                        [] { ops::softplus(Tensor::zeros({2}), 0); });
}
SING_OP_CASE(gelu) {
  allow_device_functions(c);  // erff of CUDA: 2 units, and 1 + erf cancels
  unary_case(
      c, ops::gelu, [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); },
      Fill::normal(2));
}
SING_OP_CASE(gelu_tanh) {
  allow_device_functions(c);  // as tanh and gelu
  unary_case(
      c, ops::gelu_tanh,
      [](double x) {
        return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
      },
      Fill::normal(2));
}
SING_OP_CASE(leaky_relu) {
  unary_case(
      c, [](const Tensor& x) { return ops::leaky_relu(x, 0.25); },
      [](double x) { return x > 0 ? x : 0.25 * x; }, Fill::away_from({0}));
}
SING_OP_CASE(clamp) {
  unary_case(
      c, [](const Tensor& x) { return ops::clamp(x, -0.5, 1); },
      [](double x) { return std::min(std::max(x, -0.5), 1.0); }, Fill::away_from({-0.5, 1}));
  c.rejects<ShapeError>("clamp: wanted low <= high", [] { ops::clamp(Tensor::zeros({2}), 1, 0); });
}

}  // namespace sing::test
