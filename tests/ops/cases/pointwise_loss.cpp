#include <cmath>

#include "sing/ops/loss.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using ops::Reduction;
using LossFunction = Tensor (*)(const Tensor&, const Tensor&, Reduction);

void add_samples(OpCase& c, LossFunction loss, double (*value)(double, double), const Fill& x,
                 const Fill& t) {
  const auto op = [loss](Reduction reduction) {
    return [=](const Inputs& i) { return loss(i["x"], i["t"], reduction); };
  };
  const auto formula = [value](Reduction reduction) {
    return [=](const Inputs& i) {
      const std::vector<double> xs = i["x"].to_vector(), ts = i["t"].to_vector();
      std::vector<double> each;
      double sum = 0;
      for (size_t k = 0; k < xs.size(); ++k) {
        each.push_back(value(xs[k], ts[k]));
        sum += each.back();
      }
      if (reduction == Reduction::none) return each;
      const double n = static_cast<double>(xs.size());
      return std::vector<double>{reduction == Reduction::sum ? sum : sum / n};
    };
  };
  const auto sample = [&](const char* name, const Shape& shape, Reduction reduction) {
    c.sample(name, {in("x", shape, x), in("t", shape, t)}, op(reduction), formula(reduction));
  };
  sample("mean", {3, 5}, Reduction::mean);
  sample("sum", {37}, Reduction::sum);
  sample("none", {2, 3, 4, 5}, Reduction::none);
  sample("image", {2, 3, 4, 5}, Reduction::mean);
  sample("scalar", {}, Reduction::mean);
  sample("empty", {0, 3}, Reduction::sum);
  sample("over a chunk", {(1 << 14) + 19}, Reduction::mean);
  c.rejects<ShapeError>("must have one shape; got (2) and (3)",
                        [loss] { loss(Tensor::zeros({2}), Tensor::zeros({3}), Reduction::mean); });
  c.rejects<DTypeError>("target must be f32 like the first input", [loss] {
    loss(Tensor::zeros({2}), Tensor::zeros({2}, {.dtype = DType::f64}), Reduction::mean);
  });
}

}  // namespace

SING_OP_CASE(mse_loss) {
  c.covers({"pointwise_loss_fwd", "pointwise_loss_bwd"});
  add_samples(
      c, ops::mse_loss, [](double x, double t) { return (x - t) * (x - t); }, Fill::normal(),
      Fill::normal());
}

SING_OP_CASE(l1_loss) {
  c.covers({"pointwise_loss_fwd", "pointwise_loss_bwd"});
  // Multiples of 1/32 against odd multiples of 1/64: never near the kink.
  add_samples(
      c, ops::l1_loss, [](double x, double t) { return std::abs(x - t); }, Fill::distinct(),
      Fill::values({0.015625, -0.515625, 1.015625, 0.234375, -1.265625}));
}

SING_OP_CASE(binary_cross_entropy) {
  c.covers({"pointwise_loss_fwd", "pointwise_loss_bwd"});
  // Away from 0 only because the plain formula of max and |x| has a kink there.
  add_samples(
      c, ops::binary_cross_entropy_with_logits,
      [](double x, double t) {
        return -t * std::log(1 / (1 + std::exp(-x))) - (1 - t) * std::log(1 / (1 + std::exp(x)));
      },
      Fill::away_from({0}), Fill::uniform(0, 1));
}

}  // namespace sing::test
