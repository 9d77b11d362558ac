#include "sing/ops/batch_norm.h"

#include <cmath>

#include "support/op_case.h"

namespace sing::test {
namespace {

/// Elements of channel `ch` of a row-major (N, C, ...) tensor.
template <class F>
void for_channel(const Shape& shape, int64_t ch, F f) {
  const int64_t plane = shape.numel_between(2, shape.rank());
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t i = 0; i < plane; ++i) f(static_cast<size_t>((n * shape[1] + ch) * plane + i));
}

std::vector<double> normalised(const Inputs& in, bool affine, bool training, double eps) {
  const Shape& shape = in["x"].shape();
  const std::vector<double> x = in["x"].to_vector();
  std::vector<double> y(x.size());
  for (int64_t ch = 0; ch < shape[1]; ++ch) {
    const size_t at = static_cast<size_t>(ch);
    double m = 0, mean = 0, var = 0;
    for_channel(shape, ch, [&](size_t k) { mean += x[k], m += 1; });
    mean /= m;
    for_channel(shape, ch, [&](size_t k) { var += (x[k] - mean) * (x[k] - mean) / m; });
    if (!training) {
      mean = in["mean"].to_vector()[at];
      var = in["var"].to_vector()[at];
    }
    const double weight = affine ? in["weight"].to_vector()[at] : 1;
    const double bias = affine ? in["bias"].to_vector()[at] : 0;
    for_channel(shape, ch,
                [&](size_t k) { y[k] = (x[k] - mean) / std::sqrt(var + eps) * weight + bias; });
  }
  return y;
}

}  // namespace

SING_OP_CASE(batch_norm) {
  c.covers(
      {"batch_norm_stats", "batch_norm_apply", "batch_norm_bwd_reduce", "batch_norm_bwd_apply"});
  // A repeated row would have no variance: values are distinct.
  const auto sample = [&](const char* name, const Shape& shape, bool affine, bool wide) {
    std::vector<InputSpec> inputs{in("x", shape, Fill::distinct())};
    if (affine) {
      inputs.push_back(in("weight", {shape[1]}));
      inputs.push_back(in("bias", {shape[1]}));
      if (wide) inputs[1] = inputs[1].keep_wide(), inputs[2] = inputs[2].keep_wide();
    }
    c.sample(
        name, inputs,
        [=](const Inputs& i) {
          return ops::batch_norm(i["x"], affine ? i["weight"] : Tensor(),
                                 affine ? i["bias"] : Tensor(), {}, {});
        },
        [=](const Inputs& i) { return normalised(i, affine, true, 1e-5); });
  };
  sample("matrix", {6, 3}, true, false);
  sample("sequence", {2, 3, 5}, true, false);
  sample("image", {2, 4, 3, 5}, true, false);
  sample("wide parameters", {2, 20, 3, 3}, true, true);
  sample("no affine", {3, 2, 4, 2}, false, false);
  sample("over a chunk", {9, 19, 13, 12}, true, false);
  sample("many rows", {1030, 17}, true, false);
  sample("empty", {0, 3, 2, 2}, true, false);
  // 1404 terms in the sums of "over a chunk", not the 12 its dimensions suggest.
  c.terms(1404);
  c.rejects<ShapeError>("training needs more than one value per channel", [] {
    ops::batch_norm(Tensor::zeros({1, 3, 1, 1}), {}, {}, {}, {});
  });
  c.rejects<ShapeError>("x must be (N, C)",
                        [] { ops::batch_norm(Tensor::zeros({3}), {}, {}, {}, {}); });
  c.rejects<ShapeError>("weight must be (3)", [] {
    ops::batch_norm(Tensor::zeros({2, 3}), Tensor::zeros({2}), {}, {}, {});
  });
  c.rejects<ShapeError>("must be given together", [] {
    ops::batch_norm(Tensor::zeros({2, 3}), {}, {}, Tensor::zeros({3}), {});
  });
  c.rejects<DTypeError>("weight must be f32", [] {
    ops::batch_norm(Tensor::zeros({2, 3}), Tensor::zeros({3}, {.dtype = DType::f64}), {}, {}, {});
  });
}

SING_OP_CASE(batch_norm_evaluation) {
  c.covers({"batch_norm_inverse_std", "batch_norm_apply", "batch_norm_bwd_reduce",
            "batch_norm_bwd_apply"});
  const auto sample = [&](const Shape& shape) {
    c.sample(
        to_string(shape),
        {in("x", shape), in("weight", {shape[1]}), in("bias", {shape[1]}),
         in("mean", {shape[1]}).no_grad().keep_wide(),
         in("var", {shape[1]}, Fill::positive()).no_grad().keep_wide()},
        [=](const Inputs& i) {
          return ops::batch_norm(i["x"], i["weight"], i["bias"], i["mean"].contiguous(),
                                 i["var"].contiguous(), {.training = false});
        },
        [=](const Inputs& i) { return normalised(i, true, false, 1e-5); });
  };
  sample({5, 3});
  sample({2, 4, 3, 5});
  sample({1, 17, 1, 1});
  sample({0, 3, 2, 2});
  c.rejects<ShapeError>("running statistics are needed when not training", [] {
    ops::batch_norm(Tensor::zeros({2, 3}), {}, {}, {}, {}, {.training = false});
  });
}

}  // namespace sing::test
