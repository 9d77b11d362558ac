// An allocation that fails inside an op names the op.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "ops/harness/checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"

namespace sing::test {
namespace {

/// The places named when the n-th allocation of `body` fails; nothing when it has fewer.
template <class Body>
std::optional<std::string> places(int64_t n, const Body& body) {
  std::optional<std::string> found;
  backend::fail_cpu_allocation(n);
  try {
    body();
  } catch (const OutOfMemoryError& error) {
    found = error.places();
  }
  backend::fail_cpu_allocation(0);
  return found;
}

TEST(OpOutOfMemory, EveryOpIsNamedForwardAndBackward) {
  for (const OpCase& c : all_op_cases()) {
    SCOPED_TRACE(c.name());
    if (c.name() == "fill" || c.name() == "strided_copy") continue;  // of tensors, not ops
    const Sample& sample = c.samples().front();
    const Prepared prepared(c, sample, Layout::dense);
    Inputs inputs = prepared.tensors(DType::f64, Layout::dense);
    for (const size_t i : prepared.differentiable)
      inputs.at(sample.inputs[i].name).set_requires_grad();
    const auto forward = [&] { return sample.op(inputs); };
    for (int64_t n = 1; n < 100; ++n) {
      const auto found = places(n, forward);
      if (!found) break;
      // "layer_norm, (2, 5) f64", or the op alone for a workspace
      EXPECT_THAT(*found, ::testing::MatchesRegex("[a-z_0-9]+(, \\(.*\\) [a-z0-9]+)?"));
    }
    if (prepared.differentiable.empty()) continue;
    for (int64_t n = 1; n < 100; ++n) {
      const Tensor out = forward();
      if (!out.autograd_meta() || !out.autograd_meta()->node) break;  // the input itself
      const Tensor gradient = Tensor::full(out.shape(), 1, {.dtype = out.dtype()});
      const auto found = places(n, [&] { out.backward(gradient); });
      if (!found) break;
      EXPECT_THAT(*found, ::testing::MatchesRegex("backward, [a-z_0-9]+(, \\(.*\\) [a-z0-9]+)?"));
    }
  }
}

TEST(OpOutOfMemory, TheInnermostScopeIsNamed) {
  const backend::MemoryScope memory(backend::MemoryPurpose::activations, "forward");
  const backend::OpScope outer("outer");
  const auto allocate = [] { Tensor::empty({3, 2}, {.dtype = DType::i64}); };
  EXPECT_EQ(places(1, allocate), "forward, outer, (3, 2) i64");
  {
    const backend::OpScope inner("inner");
    EXPECT_EQ(places(1, allocate), "forward, inner, (3, 2) i64");
  }
  EXPECT_EQ(places(1, allocate), "forward, outer, (3, 2) i64");
}

}  // namespace
}  // namespace sing::test
