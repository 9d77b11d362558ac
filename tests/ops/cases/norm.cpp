#include "sing/ops/norm.h"

#include <cmath>

#include "sing/ops/reshape.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

std::vector<double> plain_layer_norm(const Inputs& i) {
  const std::vector<double> x = i["x"].to_vector(), w = i["weight"].to_vector(),
                            b = i["bias"].to_vector();
  const size_t n = w.size();
  std::vector<double> y;
  for (size_t at = 0; at < x.size(); at += n) {
    double mean = 0, square = 0;
    for (size_t j = 0; j < n; ++j) mean += x[at + j] / static_cast<double>(n);
    for (size_t j = 0; j < n; ++j) square += (x[at + j] - mean) * (x[at + j] - mean);
    const double rstd = 1 / std::sqrt(square / static_cast<double>(n) + 1e-5);
    for (size_t j = 0; j < n; ++j) y.push_back((x[at + j] - mean) * rstd * w[j] + b[j]);
  }
  return y;
}

/// The sum, then its norm.
Tensor both(const ops::AddedNorm& result) {
  return ops::concat({result.sum, result.y}, 0);
}
std::vector<double> plain_add_layer_norm(const Inputs& i) {
  const std::vector<double> x = i["x"].to_vector(), branch = i["branch"].to_vector();
  std::vector<double> result;
  for (size_t at = 0; at < x.size(); ++at) result.push_back(x[at] + branch[at]);
  Inputs added;
  added.add("x", Tensor::from(result, i["x"].shape()));
  added.add("weight", i["weight"]);
  added.add("bias", i["bias"]);
  const std::vector<double> y = plain_layer_norm(added);
  result.insert(result.end(), y.begin(), y.end());
  return result;
}

}  // namespace

SING_OP_CASE(layer_norm) {
  c.covers({"layer_norm_forward", "layer_norm_backward"});
  const auto op = [](const Inputs& i) { return ops::layer_norm(i["x"], i["weight"], i["bias"]); };
  c.sample("small", {in("x", {2, 5, 8}), in("weight", {8}), in("bias", {8})}, op, plain_layer_norm);
  c.sample("odd", {in("x", {7, 19}), in("weight", {19}), in("bias", {19})}, op, plain_layer_norm);
  c.sample("more rows than a chunk", {in("x", {3, 131, 21}), in("weight", {21}), in("bias", {21})},
           op, plain_layer_norm);
  c.sample("without affine", {in("x", {3, 33})},
           [](const Inputs& i) { return ops::layer_norm(i["x"]); });
  c.sample("weight only", {in("x", {5, 16}), in("weight", {16})},
           [](const Inputs& i) { return ops::layer_norm(i["x"], i["weight"]); });
  c.sample("bias only", {in("x", {5, 12}), in("bias", {12})},
           [](const Inputs& i) { return ops::layer_norm(i["x"], {}, i["bias"]); });
  c.sample("one column", {in("x", {6, 1}), in("weight", {1}), in("bias", {1})}, op);
  c.sample("no rows", {in("x", {0, 4}), in("weight", {4}), in("bias", {4})}, op);
  c.sample("no columns", {in("x", {3, 0}), in("weight", {0}), in("bias", {0})}, op);
  c.sample("large eps", {in("x", {4, 6})},
           [](const Inputs& i) { return ops::layer_norm(i["x"], {}, {}, 0.5); });
  c.rejects<ShapeError>("layer_norm: weight must be (8); got (7)", [] {
    ops::layer_norm(Tensor::zeros({2, 8}), Tensor::zeros({7}));
  });
  c.rejects<ShapeError>("layer_norm: bias must be (8); got (1, 8)", [] {
    ops::layer_norm(Tensor::zeros({2, 8}), {}, Tensor::zeros({1, 8}));
  });
  c.rejects<ShapeError>("x must be (..., C)", [] { ops::layer_norm(Tensor::zeros({})); });
  c.rejects<DTypeError>("weight must be f32 like x", [] {
    ops::layer_norm(Tensor::zeros({2, 8}), Tensor::zeros({8}, {.dtype = DType::f64}));
  });
}

SING_OP_CASE(add_layer_norm) {
  c.covers({"layer_norm_forward", "layer_norm_backward"});
  const auto inputs = [](const Shape& shape) {
    const Shape cols{shape[-1]};
    return std::vector<InputSpec>{in("x", shape), in("branch", shape), in("weight", cols),
                                  in("bias", cols)};
  };
  const auto op = [](const Inputs& i) {
    return both(ops::add_layer_norm(i["x"], i["branch"], i["weight"], i["bias"]));
  };
  c.sample("small", inputs({2, 5, 8}), op, plain_add_layer_norm);
  c.sample("odd", inputs({7, 19}), op, plain_add_layer_norm);
  c.sample("more rows than a chunk", inputs({3, 131, 21}), op, plain_add_layer_norm);
  c.sample("rank 4", inputs({2, 3, 4, 12}), op, plain_add_layer_norm);
  c.sample("one column", inputs({6, 1}), op);
  c.sample("no rows", inputs({0, 4}), op);
  c.sample("no columns", inputs({3, 0}), op);
  c.sample("sum alone", {in("x", {3, 8}), in("branch", {3, 8})},
           [](const Inputs& i) { return ops::add_layer_norm(i["x"], i["branch"]).sum; });
  c.sample("norm alone", inputs({5, 16}), [](const Inputs& i) {
    return ops::add_layer_norm(i["x"], i["branch"], i["weight"], i["bias"]).y;
  });
  c.sample("without affine", {in("x", {3, 33}), in("branch", {3, 33})},
           [](const Inputs& i) { return both(ops::add_layer_norm(i["x"], i["branch"])); });
  c.sample(
      "weight only", {in("x", {5, 16}), in("branch", {5, 16}), in("weight", {16})},
      [](const Inputs& i) { return both(ops::add_layer_norm(i["x"], i["branch"], i["weight"])); });
  c.sample("bias only", {in("x", {5, 12}), in("branch", {5, 12}), in("bias", {12})},
           [](const Inputs& i) {
             return both(ops::add_layer_norm(i["x"], i["branch"], {}, i["bias"]));
           });
  c.sample("large eps", {in("x", {4, 6}), in("branch", {4, 6})}, [](const Inputs& i) {
    return both(ops::add_layer_norm(i["x"], i["branch"], {}, {}, 0.5));
  });
  c.sample("no branch", {in("x", {4, 6}), in("weight", {6})},
           [](const Inputs& i) { return both(ops::add_layer_norm(i["x"], {}, i["weight"])); });
  c.sample("two in a row", {in("x", {4, 24}), in("branch", {4, 24}), in("weight", {24})},
           [](const Inputs& i) {
             const ops::AddedNorm one = ops::add_layer_norm(i["x"], i["branch"], i["weight"]);
             return both(ops::add_layer_norm(one.sum, one.y));
           });
  const Tensor x = Tensor::zeros({2, 8});
  c.rejects<ShapeError>("add_layer_norm: branch must be (2, 8) like x; got (1, 8)", [x] {
    ops::add_layer_norm(x, Tensor::zeros({1, 8}));
  });
  c.rejects<ShapeError>("add_layer_norm: weight must be (8); got (7)",
                        [x] { ops::add_layer_norm(x, x, Tensor::zeros({7})); });
  c.rejects<ShapeError>("add_layer_norm: bias must be (8); got (1, 8)", [x] {
    ops::add_layer_norm(x, x, {}, Tensor::zeros({1, 8}));
  });
  c.rejects<DTypeError>("add_layer_norm: wanted one dtype", [x] {
    ops::add_layer_norm(x, Tensor::zeros({2, 8}, {.dtype = DType::bf16}));
  });
}

SING_OP_CASE(rms_norm) {
  c.covers({"layer_norm_forward", "layer_norm_backward"});
  const auto op = [](const Inputs& i) { return ops::rms_norm(i["x"], i["weight"]); };
  c.sample("small", {in("x", {2, 5, 8}), in("weight", {8})}, op);
  c.sample("odd", {in("x", {7, 19}), in("weight", {19})}, op);
  c.sample("more rows than a chunk", {in("x", {530, 17}), in("weight", {17})}, op);
  c.sample("without weight", {in("x", {3, 33})},
           [](const Inputs& i) { return ops::rms_norm(i["x"]); });
  c.sample("no rows", {in("x", {0, 4}), in("weight", {4})}, op);
  c.rejects<ShapeError>("rms_norm: weight must be (8); got (7)", [] {
    ops::rms_norm(Tensor::zeros({2, 8}), Tensor::zeros({7}));
  });
}

}  // namespace sing::test
