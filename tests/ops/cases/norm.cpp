#include "sing/ops/norm.h"

#include <cmath>

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
