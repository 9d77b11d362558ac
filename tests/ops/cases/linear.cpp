#include "sing/ops/linear.h"

#include "support/op_case.h"

namespace sing::test {
namespace {

/// Reads the products of a sample from row-major copies: sum_k x[i, k] w[j, k] + bias[j].
std::vector<double> affine(const Inputs& i) {
  const Tensor& x = i["x"];
  const Tensor& w = i["weight"];
  const std::vector<double> xs = x.to_vector(), ws = w.to_vector(), bs = i["bias"].to_vector();
  const size_t in = static_cast<size_t>(w.size(1)), out = static_cast<size_t>(w.size(0));
  std::vector<double> y;
  for (size_t row = 0; row * in < xs.size(); ++row)
    for (size_t j = 0; j < out; ++j) {
      double sum = bs[j];
      for (size_t k = 0; k < in; ++k) sum += xs[row * in + k] * ws[j * in + k];
      y.push_back(sum);
    }
  return y;
}

OpFunction with(ops::Activation activation) {
  return [activation](const Inputs& i) {
    return ops::linear(i["x"], i["weight"], i["bias"], activation);
  };
}

}  // namespace

SING_OP_CASE(linear) {
  c.covers({"gemm", "activation_grad"});
  const auto plain = with(ops::Activation::none);
  c.sample("small", {in("x", {2, 5, 8}), in("weight", {6, 8}), in("bias", {6})}, plain, affine);
  c.sample("no bias", {in("x", {7, 3}), in("weight", {2, 3})},
           [](const Inputs& i) { return ops::linear(i["x"], i["weight"]); });
  c.sample("one element", {in("x", {1}), in("weight", {1, 1}), in("bias", {1})}, plain, affine);
  c.sample("no rows", {in("x", {0, 4}), in("weight", {3, 4}), in("bias", {3})}, plain);
  c.sample("no inputs", {in("x", {2, 0}), in("weight", {3, 0}), in("bias", {3})}, plain);
  c.sample("around the tiles", {in("x", {13, 17}), in("weight", {33, 17}), in("bias", {33})}, plain,
           affine);
  c.sample("several chunks", {in("x", {3, 67, 40}), in("weight", {70, 40}), in("bias", {70})},
           plain);
  c.sample("x is the weight", {in("x", {5, 4}), in("bias", {5})},
           [](const Inputs& i) { return ops::linear(i["x"], i["x"], i["bias"]); });
  c.rejects<ShapeError>(
      "weight must be (out, 8) to match the last dimension of x (2, 8); got (8, 7)", [] {
        ops::linear(Tensor::zeros({2, 8}), Tensor::zeros({8, 7}));
      });
  c.rejects<ShapeError>("weight must be (out, 8)", [] {
    ops::linear(Tensor::zeros({2, 8}), Tensor::zeros({8}));
  });
  c.rejects<ShapeError>("x must be (..., in)", [] {
    ops::linear(Tensor::zeros({}), Tensor::zeros({8, 8}));
  });
  c.rejects<ShapeError>("bias must be (3); got (4)", [] {
    ops::linear(Tensor::zeros({2, 8}), Tensor::zeros({3, 8}), Tensor::zeros({4}));
  });
  c.rejects<DTypeError>("weight must be f32 like x", [] {
    ops::linear(Tensor::zeros({2, 8}), Tensor::zeros({3, 8}, {.dtype = DType::f64}));
  });
  c.rejects<DTypeError>("x must be floating", [] {
    ops::linear(Tensor::zeros({2, 8}, {.dtype = DType::i64}),
                Tensor::zeros({3, 8}, {.dtype = DType::i64}));
  });
}

SING_OP_CASE(linear_activations) {
  c.covers({"gemm", "activation_grad"});
  const std::pair<const char*, ops::Activation> all[] = {{"gelu", ops::Activation::gelu},
                                                         {"tanh gelu", ops::Activation::gelu_tanh}};
  for (const auto& [name, activation] : all) {
    c.sample(name, {in("x", {3, 5, 8}), in("weight", {6, 8}), in("bias", {6})}, with(activation));
    c.sample(std::string(name) + ", more rows than a chunk",
             {in("x", {130, 6}), in("weight", {19, 6}), in("bias", {19})}, with(activation));
  }
  // With weights of one element per row, sums stay away from ReLU's kink when inputs do.
  c.sample("relu",
           {in("x", {40, 1}, Fill::away_from({0})), in("weight", {3, 1}, Fill::positive()),
            in("bias", {3}, Fill::constant(0)).no_grad()},
           with(ops::Activation::relu));
  c.sample("relu without rows", {in("x", {0, 2}), in("weight", {3, 2}), in("bias", {3})},
           with(ops::Activation::relu));
  c.rejects<ShapeError>("bias must be (3); got (1)", [] {
    ops::linear(Tensor::zeros({2, 8}), Tensor::zeros({3, 8}), Tensor::zeros({1}),
                ops::Activation::gelu);
  });
}

SING_OP_CASE(matmul) {
  c.covers({"gemm"});
  const auto op = [](const Inputs& i) { return ops::matmul(i["a"], i["b"]); };
  c.sample("square", {in("a", {4, 4}), in("b", {4, 4})}, op);
  c.sample("odd", {in("a", {13, 17}), in("b", {17, 33})}, op);
  c.sample("batched", {in("a", {2, 3, 5, 4}), in("b", {2, 3, 4, 6})}, op);
  c.sample("b is shared", {in("a", {3, 5, 4}), in("b", {4, 6})}, op);
  c.sample("a is shared", {in("a", {5, 4}), in("b", {3, 4, 6})}, op);
  c.sample("both repeat", {in("a", {2, 1, 5, 4}), in("b", {1, 3, 4, 6})}, op);
  c.sample("of itself", {in("a", {4, 4})},
           [](const Inputs& i) { return ops::matmul(i["a"], i["a"]); });
  c.sample("no inner dimension", {in("a", {3, 0}), in("b", {0, 2})}, op);
  c.sample("no batch", {in("a", {0, 3, 2}), in("b", {2, 2})}, op);
  c.sample("one element", {in("a", {1, 1}), in("b", {1, 1})}, op);
  c.rejects<ShapeError>("wanted (..., m, k) and (..., k, n); got (2, 3) and (2, 3)", [] {
    ops::matmul(Tensor::zeros({2, 3}), Tensor::zeros({2, 3}));
  });
  c.rejects<ShapeError>("wanted (..., m, k)", [] {
    ops::matmul(Tensor::zeros({3}), Tensor::zeros({3, 2}));
  });
  c.rejects<ShapeError>("matmul", [] {
    ops::matmul(Tensor::zeros({2, 3, 3}), Tensor::zeros({4, 3, 3}));
  });
  c.rejects<DTypeError>("b must be f32 like a", [] {
    ops::matmul(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}, {.dtype = DType::bf16}));
  });
}

}  // namespace sing::test
