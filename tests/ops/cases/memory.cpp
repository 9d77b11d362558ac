// The two slots below all ops: copies between any strides, and filling.
#include "sing/autograd/tape.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

Tensor copied(const Tensor& x) {
  return autograd::record("copied", {x}, x.clone(), [](const Tensor& grad, const autograd::Needs&) {
    return autograd::GradList{grad};
  });
}

Tensor filled(const Tensor& like, double value) {
  Tensor out = empty_like(like);
  out.fill(value);
  return out;
}

}  // namespace

SING_OP_CASE(strided_copy) {
  c.covers({"strided_copy"});
  c.terms(1);
  const auto op = [](const Inputs& i) { return copied(i["x"]); };
  const auto same = [](const Inputs& i) { return i["x"].to_vector(); };
  c.sample("rank 3", {in("x", {3, 4, 5})}, op, same);
  c.sample("rank 6", {in("x", {2, 1, 3, 1, 2, 2})}, op, same);
  c.sample("image", {in("x", {2, 3, 4, 5})}, op, same);
  c.sample("scalar", {in("x", {})}, op, same);
  c.sample("empty", {in("x", {2, 0, 3})}, op, same);
  c.sample("longer than a chunk", {in("x", {(1 << 15) + 3})}, op, same);
  c.rejects<ShapeError>("expand: (3) does not broadcast to (2)",
                        [] { Tensor::zeros({2}).copy_from(Tensor::zeros({3})); });
}

SING_OP_CASE(fill) {
  c.covers({"fill"});
  const auto op = [](const Inputs& i) { return filled(i["like"], 1.5); };
  const auto formula = [](const Inputs& i) {
    return std::vector<double>(static_cast<size_t>(i["like"].numel()), 1.5);
  };
  c.sample("rank 3", {in("like", {3, 4, 5}).no_grad()}, op, formula);
  c.sample("image", {in("like", {2, 3, 4, 5}).no_grad()}, op, formula);
  c.sample("scalar", {in("like", {}).no_grad()}, op, formula);
  c.sample("empty", {in("like", {0}).no_grad()}, op, formula);
  c.sample("longer than a chunk", {in("like", {(1 << 16) + 1}).no_grad()}, op, formula);
  c.rejects<ShapeError>("negative", [] { Tensor::full({-1}, 1.0); });
}

}  // namespace sing::test
