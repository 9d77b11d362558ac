#include <algorithm>

#include "sing/ops/arithmetic.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using Op = std::function<Tensor(const Tensor&, const Tensor&)>;
using Value = std::function<double(double, double)>;

/// Element by element over the broadcast shape, by indices.
Formula broadcast_formula(const Value& value) {
  return [value](const Inputs& i) {
    const Shape shape = broadcast_shapes("formula", i["a"].shape(), i["b"].shape());
    const std::vector<double> a = i["a"].expand(shape).to_vector();
    const std::vector<double> b = i["b"].expand(shape).to_vector();
    std::vector<double> y(a.size());
    std::transform(a.begin(), a.end(), b.begin(), y.begin(), value);
    return y;
  };
}

void binary_case(OpCase& c, const Op& op, const Value& value, const Fill& a = Fill::normal(),
                 const Fill& b = Fill::normal()) {
  c.dtypes({DType::f32, DType::bf16, DType::f16});
  const auto run = [op](const Inputs& i) { return op(i["a"], i["b"]); };
  const Formula formula = broadcast_formula(value);
  const auto sample = [&](const char* name, const Shape& sa, const Shape& sb) {
    c.sample(name, {in("a", sa, a), in("b", sb, b)}, run, formula);
  };
  sample("matrix", {3, 7}, {3, 7});
  sample("image", {2, 3, 4, 5}, {2, 3, 4, 5});
  sample("row", {2, 5, 8}, {8});
  sample("column", {4, 1}, {4, 6});
  sample("both stretch", {3, 1, 4}, {2, 1});
  sample("channel", {2, 3, 4, 5}, {3, 1, 1});
  sample("scalar", {3, 5}, {});
  sample("scalar first", {}, {3, 5});
  sample("one", {1}, {1});
  sample("empty", {0, 3}, {3});
  sample("just over a chunk", {(1 << 14) + 3}, {(1 << 14) + 3});
  sample("rows over a chunk", {129, 130}, {130});
  c.rejects<ShapeError>("(2, 3)", [op] { op(Tensor::zeros({2, 3}), Tensor::zeros({2})); });
  c.rejects<DTypeError>("wanted one dtype; got f32 (2) and f64 (2)", [op] {
    op(Tensor::zeros({2}), Tensor::zeros({2}, {.dtype = DType::f64}));
  });
  c.rejects<DTypeError>("wanted floating tensors", [op] {
    const Tensor flags = Tensor::zeros({2}, {.dtype = DType::boolean});
    op(flags, flags);
  });
}

}  // namespace

SING_OP_CASE(add) {
  c.covers({"binary", "reduce"});
  binary_case(c, ops::add, [](double a, double b) { return a + b; });
  c.sample("reused input", {in("a", {3, 4})}, [](const Inputs& i) { return i["a"] + i["a"]; });
}
SING_OP_CASE(sub) {
  c.covers({"binary", "reduce"});
  binary_case(c, ops::sub, [](double a, double b) { return a - b; });
}
SING_OP_CASE(mul) {
  c.covers({"binary", "binary_bwd", "reduce"});
  binary_case(c, ops::mul, [](double a, double b) { return a * b; });
  c.sample("reused input", {in("a", {3, 4})}, [](const Inputs& i) { return i["a"] * i["a"]; });
}
SING_OP_CASE(div) {
  c.covers({"binary", "binary_bwd", "reduce"});
  binary_case(
      c, ops::div, [](double a, double b) { return a / b; }, Fill::normal(), Fill::positive());
  c.rejects<DTypeError>("div: wanted floating tensors; got i64 (2)", [] {
    const Tensor n = Tensor::full({2}, 1, {.dtype = DType::i64});
    ops::div(n, n);
  });
}
// The two sides never come closer than 1/32, so no difference steps over the tie.
SING_OP_CASE(maximum) {
  c.covers({"binary", "binary_bwd", "reduce"});
  binary_case(
      c, ops::maximum, [](double a, double b) { return std::max(a, b); }, Fill::uniform(-1, 1),
      Fill::values({-1.5, 1.25}));
}
SING_OP_CASE(minimum) {
  c.covers({"binary", "binary_bwd", "reduce"});
  binary_case(
      c, ops::minimum, [](double a, double b) { return std::min(a, b); }, Fill::uniform(-1, 1),
      Fill::values({1.5, -1.25}));
}
SING_OP_CASE(div_or_zero) {
  c.covers({"binary"});
  const auto op = [](const Inputs& i) { return ops::div_or_zero(i["a"], i["b"]); };
  const Formula formula = broadcast_formula([](double a, double b) { return b == 0 ? 0 : a / b; });
  const Fill zeros = Fill::values({0, 2, -0.5});
  c.terms(1);
  c.sample("matrix", {in("a", {3, 7}).no_grad(), in("b", {3, 7}, zeros).no_grad()}, op, formula);
  c.sample("row", {in("a", {3, 7}).no_grad(), in("b", {7}, zeros).no_grad()}, op, formula);
  c.sample("column", {in("a", {3, 7}).no_grad(), in("b", {3, 1}, zeros).no_grad()}, op, formula);
  c.sample("empty", {in("a", {0}).no_grad(), in("b", {0}, zeros).no_grad()}, op, formula);
  c.rejects<DTypeError>("div_or_zero: wanted a floating tensor", [] {
    const Tensor n = Tensor::full({2}, 1, {.dtype = DType::i64});
    ops::div_or_zero(n, n);
  });
}

}  // namespace sing::test
