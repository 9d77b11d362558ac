#include "sing/ops/feed_forward.h"

#include <cmath>

#include "support/op_case.h"

namespace sing::test {
namespace {

/// rows (x.size() / in) of x times weight^T plus bias, all row-major.
std::vector<double> affine(const std::vector<double>& x, const Tensor& weight, const Tensor& bias) {
  const std::vector<double> w = weight.to_vector(), b = bias.to_vector();
  const size_t in = static_cast<size_t>(weight.size(1)), out = static_cast<size_t>(weight.size(0));
  std::vector<double> y;
  for (size_t row = 0; row * in < x.size(); ++row)
    for (size_t j = 0; j < out; ++j) {
      double sum = b[j];
      for (size_t k = 0; k < in; ++k) sum += x[row * in + k] * w[j * in + k];
      y.push_back(sum);
    }
  return y;
}

Formula formula(double (*activation)(double)) {
  return [activation](const Inputs& i) {
    std::vector<double> hidden = affine(i["x"].to_vector(), i["w1"], i["b1"]);
    for (double& h : hidden) h = activation(h);
    return affine(hidden, i["w2"], i["b2"]);
  };
}
double gelu(double x) {
  return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}
double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

OpFunction with(ops::Activation activation) {
  return [activation](const Inputs& i) {
    return ops::feed_forward(i["x"], i["w1"], i["b1"], i["w2"], i["b2"], activation);
  };
}
std::vector<InputSpec> inputs(const Shape& x, int64_t hidden, int64_t out) {
  return {in("x", x), in("w1", {hidden, x[x.rank() - 1]}), in("b1", {hidden}),
          in("w2", {out, hidden}), in("b2", {out})};
}

}  // namespace

SING_OP_CASE(feed_forward) {
  c.covers({"gemm", "activation_grad"});
  const auto exact = with(ops::Activation::gelu), tanh = with(ops::Activation::gelu_tanh);
  c.sample("small", inputs({2, 5, 8}, 16, 6), exact, formula(gelu));
  c.sample("tanh", inputs({2, 5, 8}, 16, 6), tanh, formula(gelu_tanh));
  c.sample("odd sizes", inputs({13, 7}, 19, 5), exact, formula(gelu));
  c.sample("odd sizes, tanh", inputs({13, 7}, 19, 5), tanh, formula(gelu_tanh));
  c.sample("more rows than a chunk", inputs({70, 4}, 8, 3), exact);
  c.sample("no activation", inputs({4, 6}, 8, 5), with(ops::Activation::none));
  c.sample("one element", inputs({1}, 1, 1), exact, formula(gelu));
  c.sample("no rows", inputs({0, 4}, 8, 3), exact);
  c.sample("nothing hidden", inputs({3, 4}, 0, 2), exact);
  c.sample("no biases", {in("x", {7, 3}), in("w1", {8, 3}), in("w2", {2, 8})},
           [](const Inputs& i) { return ops::feed_forward(i["x"], i["w1"], {}, i["w2"], {}); });
  c.sample("only the second layer learns",
           {in("x", {7, 3}).no_grad(), in("w1", {8, 3}).no_grad(), in("b1", {8}).no_grad(),
            in("w2", {2, 8}), in("b2", {2})},
           exact);
  c.sample("only biases learn",
           {in("x", {7, 3}).no_grad(), in("w1", {8, 3}).no_grad(), in("b1", {8}),
            in("w2", {2, 8}).no_grad(), in("b2", {2})},
           exact);
  // With weights of one element per row, sums stay away from ReLU's kink when inputs do.
  c.sample("relu",
           {in("x", {40, 1}, Fill::away_from({0})), in("w1", {4, 1}, Fill::positive()),
            in("b1", {4}, Fill::constant(0)).no_grad(), in("w2", {3, 4}), in("b2", {3})},
           with(ops::Activation::relu));
  c.rejects<ShapeError>("feed_forward: x must be (..., in)", [] {
    ops::feed_forward(Tensor::zeros({}), Tensor::zeros({8, 8}), {}, Tensor::zeros({8, 8}), {});
  });
  c.rejects<ShapeError>("w1 must be (hidden, 8) to match the last dimension of x (2, 8)", [] {
    ops::feed_forward(Tensor::zeros({2, 8}), Tensor::zeros({8, 7}), {}, Tensor::zeros({8, 8}), {});
  });
  c.rejects<ShapeError>("w2 must be (out, 16) to match the rows of w1 (16, 8); got (8, 8)", [] {
    ops::feed_forward(Tensor::zeros({2, 8}), Tensor::zeros({16, 8}), {}, Tensor::zeros({8, 8}), {});
  });
  c.rejects<ShapeError>("b1 must be (16); got (8)", [] {
    ops::feed_forward(Tensor::zeros({2, 8}), Tensor::zeros({16, 8}), Tensor::zeros({8}),
                      Tensor::zeros({8, 16}), {});
  });
  c.rejects<ShapeError>("b2 must be (8); got (16)", [] {
    ops::feed_forward(Tensor::zeros({2, 8}), Tensor::zeros({16, 8}), {}, Tensor::zeros({8, 16}),
                      Tensor::zeros({16}));
  });
  c.rejects<DTypeError>("w2 must be f32 like x", [] {
    ops::feed_forward(Tensor::zeros({2, 8}), Tensor::zeros({16, 8}), {},
                      Tensor::zeros({8, 16}, {.dtype = DType::f64}), {});
  });
}

}  // namespace sing::test
