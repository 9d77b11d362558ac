#include "sing/ops/reduce.h"

#include <cmath>

#include "sing/ops/softmax.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using Dims = std::vector<int>;
using Op = std::function<Tensor(const Tensor&, const Dims&, bool)>;
/// What a list of numbers is reduced to.
using Value = std::function<double(const std::vector<double>&)>;

/// Sorts the elements of x into groups by the kept part of their index.
Formula grouped(const Dims& dims, const Value& value) {
  return [dims, value](const Inputs& inputs) {
    const Tensor& x = inputs["x"];
    std::vector<bool> reduced(static_cast<size_t>(x.rank()), dims.empty());
    for (const int d : dims) reduced[static_cast<size_t>(x.shape().normalized(d))] = true;
    const std::vector<double> all = x.to_vector();
    int64_t groups = 1;
    for (int d = 0; d < x.rank(); ++d)
      if (!reduced[static_cast<size_t>(d)]) groups *= x.size(d);
    std::vector<std::vector<double>> parts(static_cast<size_t>(groups));
    for (size_t i = 0; i < all.size(); ++i) {
      int64_t left = static_cast<int64_t>(i), group = 0, step = 1;
      for (int d = x.rank() - 1; d >= 0; --d) {
        if (!reduced[static_cast<size_t>(d)]) {
          group += left % x.size(d) * step;
          step *= x.size(d);
        }
        left /= x.size(d);
      }
      parts[static_cast<size_t>(group)].push_back(all[i]);
    }
    std::vector<double> y;
    for (const auto& part : parts) y.push_back(value(part));
    return y;
  };
}

void reduce_case(OpCase& c, const Op& op, const Value& value, const Fill& fill, bool empty) {
  c.dtypes({DType::f32, DType::bf16, DType::f16});
  const auto sample = [&](const char* name, const Shape& shape, const Dims& dims,
                          bool keepdim = false) {
    c.sample(
        name, {in("x", shape, fill)},
        [op, dims, keepdim](const Inputs& i) { return op(i["x"], dims, keepdim); },
        grouped(dims, value));
  };
  sample("all", {3, 4, 5}, {});
  sample("last", {3, 4, 5}, {-1});
  sample("first", {3, 4, 5}, {0}, true);
  sample("outer two", {3, 4, 5}, {0, 1});
  sample("first and last", {3, 4, 5}, {0, 2}, true);
  sample("pixels", {2, 3, 4, 5}, {2, 3});
  sample("scalar", {}, {});
  sample("size 1", {2, 1, 3}, {1});
  sample("nothing kept", {0, 3}, {1});
  sample("rows over a chunk", {1 << 7, (1 << 7) + 5}, {1});
  sample("columns over a chunk", {(1 << 7) + 5, 1 << 7}, {0});
  // All elements of an extremum must differ, of which there is a limit.
  sample("long", {fill.kind == Fill::Kind::distinct ? 1021 : (1 << 16) + 77}, {});
  if (empty) sample("nothing to add", {0, 3}, {0});
  c.rejects<ShapeError>("wanted dimensions of (2, 3); got 2", [op] {
    op(Tensor::zeros({2, 3}), {2}, false);
  });
  c.rejects<ShapeError>("wanted each dimension once; got -1 again", [op] {
    op(Tensor::zeros({2, 3}), {1, -1}, false);
  });
}

double sum_of(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum;
}

}  // namespace

SING_OP_CASE(sum) {
  c.covers({"reduce"});
  // Small enough for the sum of 65613 equal numbers to fit f16.
  reduce_case(c, ops::sum, sum_of, Fill::normal(0.25), true);
  c.rejects<DTypeError>("sum: wanted a floating tensor",
                        [] { ops::sum(Tensor::zeros({2}, {.dtype = DType::i64})); });
}
SING_OP_CASE(mean) {
  c.covers({"reduce"});
  reduce_case(
      c, ops::mean, [](const auto& x) { return sum_of(x) / static_cast<double>(x.size()); },
      Fill::normal(10), false);
}
SING_OP_CASE(norm) {
  c.covers({"reduce", "binary"});
  reduce_case(
      c, ops::norm,
      [](const auto& x) {
        double sum = 0;
        for (const double v : x) sum += v * v;
        return std::sqrt(sum);
      },
      Fill::positive(), false);
}
SING_OP_CASE(max) {
  c.plain_kernels_only();
  c.covers({"reduce", "reduce_select_bwd"});
  reduce_case(
      c, ops::max, [](const auto& x) { return *std::max_element(x.begin(), x.end()); },
      Fill::distinct(), false);
  c.rejects<ShapeError>("max: wanted at least one element", [] {
    ops::max(Tensor::zeros({2, 0}), {1});
  });
}
SING_OP_CASE(min) {
  c.plain_kernels_only();
  c.covers({"reduce", "reduce_select_bwd"});
  reduce_case(
      c, ops::min, [](const auto& x) { return *std::min_element(x.begin(), x.end()); },
      Fill::distinct(), false);
  c.rejects<ShapeError>("min: wanted at least one element", [] {
    ops::min(Tensor::zeros({2, 0}), {1});
  });
}

SING_OP_CASE(argmax) {
  c.plain_kernels_only();
  c.covers({"reduce"});
  const auto sample = [&](const char* name, const Shape& shape, int dim) {
    c.sample(
        name, {in("x", shape).no_grad()},
        [dim](const Inputs& i) { return ops::argmax(i["x"], dim); },
        grouped({dim}, [](const auto& x) {
          return static_cast<double>(std::max_element(x.begin(), x.end()) - x.begin());
        }));
  };
  sample("last", {3, 4, 5}, -1);
  sample("first", {3, 4, 5}, 0);
  sample("middle", {3, 4, 5}, 1);
  sample("one", {1}, 0);
  c.rejects<ShapeError>("argmax: wanted at least one element", [] {
    ops::argmax(Tensor::zeros({2, 0}), 1);
  });
}

SING_OP_CASE(any_all) {
  c.plain_kernels_only();
  c.covers({"reduce"});
  const Fill flags = Fill::boolean(0.3);
  const auto sample = [&](const char* name, const Shape& shape, const Dims& dims) {
    c.sample(
        std::string("any ") + name, {in("x", shape, flags)},
        [dims](const Inputs& i) { return ops::any(i["x"], dims); },
        grouped(dims, [](const auto& x) { return sum_of(x) > 0 ? 1.0 : 0.0; }));
    c.sample(
        std::string("all ") + name, {in("x", shape, flags)},
        [dims](const Inputs& i) { return ops::all(i["x"], dims); },
        grouped(dims, [](const auto& x) {
          return sum_of(x) == static_cast<double>(x.size()) ? 1.0 : 0.0;
        }));
  };
  sample("last", {8, 3}, {1});
  sample("first", {3, 8}, {0});
  sample("nothing", {0, 3}, {0});
  c.rejects<ShapeError>("any: wanted dimensions of (2); got 1",
                        [] { ops::any(Tensor::zeros({2}), {1}); });
}

namespace {

void softmax_case(OpCase& c, Tensor (*op)(const Tensor&, int), bool log) {
  c.covers({"softmax_fwd", "softmax_bwd"});
  c.dtypes({DType::f32, DType::bf16, DType::f16});
  c.gradient_floor(0.1);  // over equal elements the gradient cancels to nothing
  const auto sample = [&](const char* name, const Shape& shape, int dim) {
    c.sample(
        name, {in("x", shape, Fill::normal(2))},
        [op, dim](const Inputs& i) { return op(i["x"], dim); },
        [dim, log](const Inputs& i) {
          // Over the last dimension of a transposed copy, then back.
          const Tensor x = i["x"].transpose(dim, -1).contiguous();
          std::vector<double> y = x.to_vector();
          const size_t n = static_cast<size_t>(x.size(-1));
          for (size_t row = 0; row < y.size(); row += n) {
            double sum = 0;
            for (size_t k = 0; k < n; ++k) sum += std::exp(y[row + k]);
            for (size_t k = 0; k < n; ++k)
              y[row + k] = log ? y[row + k] - std::log(sum) : std::exp(y[row + k]) / sum;
          }
          return Tensor::from(y, x.shape()).transpose(dim, -1).to_vector();
        });
  };
  sample("last", {3, 4, 7}, -1);
  sample("first", {5, 3, 2}, 0);
  sample("middle", {2, 5, 3}, 1);
  sample("image channels", {2, 3, 4, 5}, 1);
  sample("one class", {3, 1}, 1);
  sample("odd width", {5, 33}, 1);
  sample("rows over a chunk", {130, 65}, -1);
  c.sample("empty", {in("x", {0, 3})}, [op](const Inputs& i) { return op(i["x"], 1); });
  c.sample("no classes", {in("x", {3, 0})}, [op](const Inputs& i) { return op(i["x"], 1); });
  c.rejects<ShapeError>("wanted dimensions of (2, 3); got 2", [op] {
    op(Tensor::zeros({2, 3}), 2);
  });
  c.rejects<DTypeError>("wanted a floating tensor",
                        [op] { op(Tensor::zeros({2}, {.dtype = DType::i64}), 0); });
}

}  // namespace

SING_OP_CASE(softmax) {
  softmax_case(c, ops::softmax, false);
}
SING_OP_CASE(log_softmax) {
  softmax_case(c, ops::log_softmax, true);
}

}  // namespace sing::test
