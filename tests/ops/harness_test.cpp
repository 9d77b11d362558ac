// The op cases must notice what they are there for: each test plants one mistake in an op that is
// otherwise x * x, and counts what the checks say.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "ops/harness/checks.h"
#include "sing/autograd/tape.h"
#include "sing/core/thread_pool.h"

namespace sing::test {
namespace {

using autograd::GradList;
using autograd::Needs;
using Check = void (*)(const OpCase&);

/// Failures a check reports, as text; they do not count as failures of this test.
std::string complaints(Check check, const OpCase& c) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    check(c);
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i) text += results.GetTestPartResult(i).message();
  return text;
}

Tensor map(const Tensor& x, const std::function<double(double)>& f) {
  std::vector<double> values = x.to_vector();
  for (double& v : values) v = f(v);
  return Tensor::from(values, x.shape()).to(x.dtype());
}
Tensor product(const Tensor& a, const Tensor& b) {
  std::vector<double> values = a.to_vector();
  const std::vector<double> other = b.to_vector();
  for (size_t i = 0; i < values.size(); ++i) values[i] *= other[i];
  return Tensor::from(values, a.shape()).to(a.dtype());
}
double square(double v) {
  return v * v;
}

/// x * x; `backward` gives the gradient from grad and x.
using Backward = std::function<Tensor(const Tensor&, const Tensor&, const Needs&)>;
OpFunction squared(Backward backward) {
  return [backward](const Inputs& i) {
    const Tensor x = i["x"];
    return autograd::record("squared", {x}, map(x, square),
                            [x = autograd::Saved(x), backward](const Tensor& g, const Needs& n) {
                              return GradList{backward(g, *x, n)};
                            });
  };
}
Tensor right(const Tensor& g, const Tensor& x, const Needs&) {
  return product(g, map(x, [](double v) { return 2 * v; }));
}

OpCase case_of(const OpFunction& op) {
  OpCase c("planted");
  c.covers({"strided_copy"});
  c.sample("matrix", {in("x", {3, 4})}, op);
  c.sample("image", {in("x", {2, 3, 2, 2})}, op);
  c.sample("cube", {in("x", {2, 3, 2})}, op);
  return c;
}

TEST(OpCaseHarness, TheRightOpPasses) {
  const OpCase c = case_of(squared(right));
  EXPECT_EQ(complaints(check_gradients, c), "");
  EXPECT_EQ(complaints(check_precision, c), "");
  EXPECT_EQ(complaints(check_slots, c), "");
}

TEST(OpCaseHarness, WrongGradient) {
  const OpCase c = case_of(squared([](const Tensor& g, const Tensor& x, const Needs& n) {
    return map(right(g, x, n), [](double v) { return v * 1.00003; });
  }));
  EXPECT_NE(complaints(check_gradients, c).find("differences say"), std::string::npos);
}

TEST(OpCaseHarness, GradientThatOverwritesItsBuffer) {
  const OpCase c = case_of(squared([](const Tensor& g, const Tensor& x, const Needs& n) -> Tensor {
    const Tensor dx = right(g, x, n);
    Tensor target = n.target(0);
    if (!target.defined()) return dx;
    target.copy_from(dx);
    return {};
  }));
  EXPECT_NE(complaints(check_gradients, c).find("does not add"), std::string::npos);
}

TEST(OpCaseHarness, NothingRecorded) {
  const OpCase c = case_of([](const Inputs& i) { return map(i["x"], square); });
  EXPECT_NE(complaints(check_gradients, c).find("nothing recorded"), std::string::npos);
}

TEST(OpCaseHarness, OutputNeverWritten) {
  const OpCase c = case_of([](const Inputs& i) {
    return autograd::record("unwritten", {i["x"]}, Tensor::empty(i["x"].shape()),
                            [](const Tensor& g, const Needs&) { return GradList{g}; });
  });
  EXPECT_NE(complaints(check_precision, c), "");
}

TEST(OpCaseHarness, StridesIgnored) {
  const OpCase c = case_of([](const Inputs& i) {
    const Tensor& x = i["x"];
    // Reads as if x were dense; the tensor it was cut from is NaN around it.
    Tensor flat = Tensor::wrap(const_cast<void*>(x.raw()), x.shape(), x.dtype());
    return autograd::record("strideless", {x}, flat.clone(),
                            [](const Tensor& g, const Needs&) { return GradList{g}; });
  });
  OpCase dense = c;
  for (const Layout layout :
       {Layout::permuted, Layout::sliced, Layout::expanded, Layout::channels_last})
    dense.without(layout);
  EXPECT_EQ(complaints(check_precision, dense), "");
  for (const Layout layout : {Layout::permuted, Layout::sliced, Layout::channels_last}) {
    OpCase only = c;
    for (const Layout other :
         {Layout::permuted, Layout::sliced, Layout::expanded, Layout::channels_last})
      if (other != layout) only.without(other);
    const std::string said = complaints(check_precision, only) + complaints(check_gradients, only);
    EXPECT_NE(said, "") << name_of(layout);
  }
}

TEST(OpCaseHarness, LossOfPrecision) {
  const OpCase c = case_of(squared([](const Tensor& g, const Tensor& x, const Needs& n) {
    const Tensor dx = right(g, x, n);
    return x.dtype() == DType::f32 ? dx.to(DType::bf16).to(DType::f32) : dx;
  }));
  EXPECT_EQ(complaints(check_gradients, c), "");
  EXPECT_NE(complaints(check_precision, c).find("gradient of x"), std::string::npos);
}

TEST(OpCaseHarness, WrongFormula) {
  OpCase c("planted");
  c.sample("matrix", {in("x", {3, 4})}, squared(right),
           [](const Inputs& i) { return map(i["x"], [](double v) { return v; }).to_vector(); });
  EXPECT_NE(complaints(check_precision, c).find("formula"), std::string::npos);
}

TEST(OpCaseHarness, ThreadsThatMatter) {
  const OpCase c = case_of([](const Inputs& i) {
    return map(i["x"], [](double v) { return v + 1e-3 * num_threads(); });
  });
  EXPECT_NE(complaints(check_slots, c).find("depends on threads"), std::string::npos);
}

TEST(OpCaseHarness, InputWritten) {
  const OpCase c = case_of([](const Inputs& i) {
    Tensor x = i["x"];
    x.mutable_raw();
    return map(x, square);
  });
  EXPECT_NE(complaints(check_slots, c).find("writes to its input x"), std::string::npos);
}

TEST(OpCaseHarness, SlotsClaimedButNotCalled) {
  OpCase c = case_of(squared(right));
  c.covers({"softmax_fwd"});
  EXPECT_NE(complaints(check_slots, c).find("never calls it"), std::string::npos);
  c.covers({"no_such_slot"});
  EXPECT_NE(complaints(check_slots, c).find("unknown slot"), std::string::npos);
}

TEST(OpCaseHarness, TooFewSamples) {
  OpCase c("planted");
  c.sample("matrix", {in("x", {3, 4})}, squared(right));
  EXPECT_NE(complaints(check_slots, c).find("too few samples"), std::string::npos);
}

TEST(OpCaseHarness, Rejections) {
  OpCase c("planted");
  EXPECT_NE(complaints(check_rejects, c), "");
  c.rejects<ShapeError>("wanted", [] { throw ShapeError("op: wanted this"); });
  EXPECT_EQ(complaints(check_rejects, c), "");
  OpCase silent("planted");
  silent.rejects<ShapeError>("wanted", [] {});
  EXPECT_NE(complaints(check_rejects, silent), "");
  OpCase other("planted");
  other.rejects<ShapeError>("wanted", [] { throw DTypeError("op: wanted this"); });
  EXPECT_NE(complaints(check_rejects, other), "");
}

TEST(OpCaseHarness, WritesBehindABlock) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    Tensor x = Tensor::empty({3});
    x.mutable_data<float>()[3] = 0;
  }
  ASSERT_EQ(results.size(), 1);
  EXPECT_NE(std::string(results.GetTestPartResult(0).message()).find("behind a block"),
            std::string::npos);
}

}  // namespace
}  // namespace sing::test
