#include <cmath>

#include "sing/ops/loss.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using ops::CrossEntropyOptions;
using ops::Reduction;

OpFunction op(CrossEntropyOptions options = {}) {
  return [options](const Inputs& i) { return ops::cross_entropy(i["x"], i["labels"], options); };
}

/// -log softmax by its definition, smoothed, reduced.
Formula formula(CrossEntropyOptions o = {}) {
  return [o](const Inputs& i) {
    const std::vector<double> x = i["x"].to_vector(), labels = i["labels"].to_vector();
    const size_t classes = static_cast<size_t>(i["x"].size(-1));
    std::vector<double> losses;
    double total = 0, count = 0;
    for (size_t r = 0; r < labels.size(); ++r) {
      double sum = 0, loss = 0;
      for (size_t j = 0; j < classes; ++j) sum += std::exp(x[r * classes + j]);
      const bool ignored = labels[r] == static_cast<double>(o.ignore_index);
      for (size_t j = 0; j < classes && !ignored; ++j) {
        const double wanted = o.label_smoothing / static_cast<double>(classes) +
                              (static_cast<double>(j) == labels[r] ? 1 - o.label_smoothing : 0);
        loss -= wanted * (x[r * classes + j] - std::log(sum));
      }
      losses.push_back(loss);
      total += loss;
      count += ignored ? 0 : 1;
    }
    if (o.reduction == Reduction::none) return losses;
    return std::vector<double>{o.reduction == Reduction::sum ? total : total / count};
  };
}

}  // namespace

SING_OP_CASE(cross_entropy) {
  c.covers({"cross_entropy_fwd", "cross_entropy_bwd"});
  const auto labels = [](const Shape& shape, int64_t n) {
    return in("labels", shape, Fill::index(n));
  };
  c.sample("mean", {in("x", {6, 5}), labels({6}, 5)}, op(), formula());
  const CrossEntropyOptions smooth{.label_smoothing = 0.1};
  c.sample("smoothed", {in("x", {3, 33}), labels({3}, 33)}, op(smooth), formula(smooth));
  const CrossEntropyOptions sum{.label_smoothing = 0.25, .reduction = Reduction::sum};
  c.sample("tokens, sum", {in("x", {2, 3, 17}), labels({2, 3}, 17)}, op(sum), formula(sum));
  const CrossEntropyOptions none{.reduction = Reduction::none};
  c.sample("none, i32", {in("x", {5, 16}), labels({5}, 16).keep(DType::i32)}, op(none),
           formula(none));
  const CrossEntropyOptions ignore{.label_smoothing = 0.1, .ignore_index = 2};
  c.sample("ignored label", {in("x", {9, 3}), labels({9}, 3)}, op(ignore), formula(ignore));
  c.sample("one class", {in("x", {4, 1}), labels({4}, 1)}, op(none), formula(none));
  c.sample("no row", {in("x", {0, 4}), labels({0}, 4)}, op(sum), formula(sum));
  c.sample("rows over a chunk", {in("x", {40, 1000}), labels({40}, 1000)}, op(), formula());
  c.sample("large scores", {in("x", {3, 40}, Fill::normal(30)), labels({3}, 40)}, op(none));

  const auto call = [](const Shape& x, std::vector<int64_t> targets, CrossEntropyOptions o = {}) {
    const Shape shape{static_cast<int64_t>(targets.size())};
    return ops::cross_entropy(Tensor::zeros(x), Tensor::from(targets, shape), o);
  };
  c.rejects<ShapeError>("wanted logits (..., classes)", [=] { call({2, 3}, {0, 1, 2}); });
  c.rejects<DTypeError>("targets must be i64 or i32", [] {
    ops::cross_entropy(Tensor::zeros({1, 3}), Tensor::zeros({1}));
  });
  c.rejects<DataError>("label 3 is outside 0..2", [=] { call({2, 3}, {0, 3}); });
  c.rejects<DataError>("label -1 is outside 0..2", [=] { call({2, 3}, {-1, 0}); });
  c.rejects<DataError>("label -100 is outside 0..2", [=] {
    call({2, 3}, {1, -100}, {.ignore_index = -1});
  });
  c.rejects<ConfigError>("label_smoothing must be in [0, 1]", [=] {
    call({1, 3}, {0}, {.label_smoothing = 1.5});
  });
}

}  // namespace sing::test
