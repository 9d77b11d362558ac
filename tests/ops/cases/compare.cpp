#include "sing/ops/compare.h"

#include <algorithm>

#include "support/op_case.h"

namespace sing::test {
namespace {

/// Few values, so that ties are common.
const Fill kFew = Fill::values({0, 1, -1, 2, 1, 0, 0.5});
const Fill kOther = Fill::values({1, 1, 0, -2, 0.5});

template <class Op, class Value>
void compare_case(OpCase& c, Op op, Value value, const Fill& fill, const Fill& other) {
  c.covers({"compare"});
  const auto sample = [&](const char* name, const Shape& a, const Shape& b) {
    c.sample(
        name, {in("a", a, fill).no_grad(), in("b", b, other).no_grad()},
        [op](const Inputs& i) { return op(i["a"], i["b"]); },
        [value](const Inputs& i) {
          const Shape shape = broadcast_shapes("formula", i["a"].shape(), i["b"].shape());
          const std::vector<double> x = i["a"].expand(shape).to_vector();
          const std::vector<double> y = i["b"].expand(shape).to_vector();
          std::vector<double> z(x.size());
          for (size_t k = 0; k < z.size(); ++k) z[k] = value(x[k], y[k]) ? 1 : 0;
          return z;
        });
  };
  sample("matrix", {3, 7}, {3, 7});
  sample("row", {4, 5}, {5});
  sample("column", {4, 1}, {5});
  sample("scalar", {4}, {});
  sample("empty", {0}, {});
  c.rejects<ShapeError>("(2)", [op, fill] {
    const DType dtype = fill.kind == Fill::Kind::boolean ? DType::boolean : DType::f32;
    op(Tensor::zeros({2}, {.dtype = dtype}), Tensor::zeros({3}, {.dtype = dtype}));
  });
}

template <class Op, class Value>
void logical_case(OpCase& c, Op op, Value value) {
  compare_case(c, op, value, Fill::boolean(), Fill::boolean());
  c.rejects<DTypeError>("wanted a boolean tensor; got f32 (2)",
                        [op] { op(Tensor::zeros({2}), Tensor::zeros({2})); });
}

}  // namespace

SING_OP_CASE(eq) {
  compare_case(
      c, ops::eq, [](double a, double b) { return a == b; }, kFew, kOther);
  c.rejects<DTypeError>("eq: wanted one dtype", [] {
    ops::eq(Tensor::zeros({2}), Tensor::zeros({2}, {.dtype = DType::i64}));
  });
}
SING_OP_CASE(ne) {
  compare_case(
      c, ops::ne, [](double a, double b) { return a != b; }, kFew, kOther);
}
SING_OP_CASE(lt) {
  compare_case(
      c, ops::lt, [](double a, double b) { return a < b; }, kFew, kOther);
}
SING_OP_CASE(le) {
  compare_case(
      c, ops::le, [](double a, double b) { return a <= b; }, kFew, kOther);
}
SING_OP_CASE(gt) {
  compare_case(
      c, ops::gt, [](double a, double b) { return a > b; }, kFew, kOther);
}
SING_OP_CASE(ge) {
  compare_case(
      c, ops::ge, [](double a, double b) { return a >= b; }, kFew, kOther);
}
SING_OP_CASE(logical_and) {
  logical_case(c, ops::logical_and, [](double a, double b) { return a != 0 && b != 0; });
}
SING_OP_CASE(logical_or) {
  logical_case(c, ops::logical_or, [](double a, double b) { return a != 0 || b != 0; });
}
SING_OP_CASE(logical_xor) {
  logical_case(c, ops::logical_xor, [](double a, double b) { return (a != 0) != (b != 0); });
}
SING_OP_CASE(logical_not) {
  logical_case(
      c, [](const Tensor& a, const Tensor& b) { return ops::logical_not(ops::logical_and(a, b)); },
      [](double a, double b) { return !(a != 0 && b != 0); });
}

SING_OP_CASE(where) {
  c.covers({"where", "reduce"});
  const auto sample = [&](const char* name, const Shape& condition, const Shape& a,
                          const Shape& b) {
    c.sample(
        name, {in("condition", condition, Fill::boolean()), in("a", a), in("b", b)},
        [](const Inputs& i) { return ops::where(i["condition"], i["a"], i["b"]); },
        [](const Inputs& i) {
          const Shape shape = broadcast_shapes(
              "formula", broadcast_shapes("formula", i["condition"].shape(), i["a"].shape()),
              i["b"].shape());
          const std::vector<double> choose = i["condition"].expand(shape).to_vector();
          std::vector<double> y = i["a"].expand(shape).to_vector();
          const std::vector<double> other = i["b"].expand(shape).to_vector();
          for (size_t k = 0; k < y.size(); ++k)
            if (choose[k] == 0) y[k] = other[k];
          return y;
        });
  };
  sample("matrix", {4, 7}, {4, 7}, {4, 7});
  sample("mask row", {7}, {4, 7}, {4, 7});
  sample("mask stretches both", {2, 5, 3}, {5, 1}, {3});
  sample("image", {2, 3, 4, 5}, {2, 3, 4, 5}, {3, 1, 1});
  sample("empty", {0, 2}, {2}, {2});
  c.rejects<DTypeError>("where: wanted a boolean tensor", [] {
    const Tensor x = Tensor::zeros({2});
    ops::where(x, x, x);
  });
}

SING_OP_CASE(masked_fill) {
  c.covers({"where"});
  const auto sample = [&](const char* name, const Shape& x, const Shape& mask) {
    c.sample(
        name, {in("x", x), in("mask", mask, Fill::boolean(0.4))},
        [](const Inputs& i) { return ops::masked_fill(i["x"], i["mask"], -2.5); },
        [](const Inputs& i) {
          std::vector<double> y = i["x"].to_vector();
          const std::vector<double> covered = i["mask"].expand(i["x"].shape()).to_vector();
          for (size_t k = 0; k < y.size(); ++k)
            if (covered[k] != 0) y[k] = -2.5;
          return y;
        });
  };
  sample("matrix", {4, 7}, {4, 7});
  sample("row", {3, 4, 7}, {4, 7});
  sample("column", {5, 6}, {5, 1});
  sample("empty", {0}, {0});
  c.rejects<ShapeError>("masked_fill: wanted a mask that broadcasts to (2); got (3, 2)", [] {
    ops::masked_fill(Tensor::zeros({2}), Tensor::zeros({3, 2}, {.dtype = DType::boolean}), 0);
  });
  c.rejects<DTypeError>("masked_fill: wanted a boolean tensor",
                        [] { ops::masked_fill(Tensor::zeros({2}), Tensor::zeros({2}), 0); });
}

}  // namespace sing::test
