// The attention of the shipped transformers has cuDNN plans, and what must not go there does not.
#include <gtest/gtest.h>

#include "backend/cuda/cudnn/attention_graph.h"
#include "backend/cuda/cudnn/attention_rules.h"
#include "cuda/plans/plan_text.h"
#include "cuda/plans/shipped_shapes.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

TEST(CudnnPlans, ShippedAttention) {
  const std::vector<ShippedAttention> all = shipped_attention();
  for (ShippedAttention c : all)
    for (const bool causal : {false, true}) {
      if (causal && c.model != "vit_b/8 128") continue;  // one is enough: the mask is no shape
      c.forward.problem.causal = c.backward.problem.causal = causal;
      EXPECT_EQ(c.forward.problem.dtype, DType::bf16);
      EXPECT_NE(planned(c.model, {},
                        [&](const Target& t) { return attention_forward_graph(c.forward, 16, t); }),
                nullptr);
      for (const bool deterministic : {true, false}) {
        const auto plan = planned(c.model, {deterministic, false}, [&](const Target& t) {
          return attention_backward_graph(c.backward, 16, deterministic, t);
        });
        ASSERT_NE(plan, nullptr);
        // The deterministic form keeps the gradients of all scores.
        const kernels::AttentionProblem& p = c.backward.problem;
        const int64_t scores = p.batch * p.heads * p.queries * p.keys * 2;
        EXPECT_EQ(plan->workspace_bytes() >= scores, deterministic);
      }
    }
}

/// A call that nothing speaks against.
kernels::AttentionForwardArgs plain() {
  kernels::AttentionForwardArgs a{};
  kernels::AttentionProblem& p = a.problem;
  p.batch = 2;
  p.heads = 6;
  p.queries = p.keys = 256;
  p.dim = p.value_dim = 64;
  p.dtype = DType::bf16;
  p.scale = 0.125;
  a.q_strides = a.k_strides = a.v_strides = {256 * 1152, 64, 1152};
  a.out_strides = {256 * 384, 64, 384};
  return a;
}

constexpr AttentionRules kHopper{91900, 90};

/// Whether cuDNN gets the call after `change`.
template <class Change>
bool serves(const Change& change, const AttentionRules& rules = kHopper) {
  kernels::AttentionForwardArgs a = plain();
  change(a);
  return refusal(a, rules) == nullptr;
}

TEST(CudnnAttentionRules, Problem) {
  using Args = kernels::AttentionForwardArgs;
  EXPECT_TRUE(serves([](Args&) {}));
  EXPECT_TRUE(serves([](Args& a) { a.problem.causal = true; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.dtype = DType::f32; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.mask = &a; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.drop_below = 1; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.batch = 0; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.dim = 36; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.value_dim = 4; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.queries = 1; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.keys = 1; }));
  EXPECT_TRUE(serves([](Args& a) { a.problem.dim = a.problem.value_dim = 256; }));
  EXPECT_FALSE(serves([](Args& a) { a.problem.dim = a.problem.value_dim = 264; }));
}

TEST(CudnnAttentionRules, LengthsWithKnownNanGradients) {
  using Args = kernels::AttentionForwardArgs;
  for (const int64_t length : {64, 192, 704})
    for (const bool keys : {false, true}) {
      const auto change = [&](Args& a) { (keys ? a.problem.keys : a.problem.queries) = length; };
      EXPECT_FALSE(serves(change)) << length;
      EXPECT_TRUE(serves(change, {91900, 90, true})) << length;
    }
  for (const int64_t length : {63, 65, 128, 197, 1000})
    EXPECT_TRUE(serves([&](Args& a) { a.problem.queries = a.problem.keys = length; })) << length;
}

TEST(CudnnAttentionRules, ReleasesAndDevices) {
  using Args = kernels::AttentionForwardArgs;
  const auto same = [](Args&) {};
  for (const int64_t version : {90500, 91000, 91001, 91400})
    EXPECT_FALSE(serves(same, {version, 90})) << version;
  EXPECT_TRUE(serves(same, {91900, 80}));
  EXPECT_FALSE(serves(same, {91900, 75}));
  EXPECT_FALSE(serves([](Args& a) { a.problem.dim = a.problem.value_dim = 136; }, {91900, 80}));
}

TEST(CudnnAttentionRules, AlignmentOfEveryOperand) {
  using Args = kernels::AttentionForwardArgs;
  const auto* odd = reinterpret_cast<const void*>(uintptr_t{1032});  // 8 modulo 16
  EXPECT_FALSE(serves([&](Args& a) { a.q = odd; }));
  EXPECT_FALSE(serves([&](Args& a) { a.k = odd; }));
  EXPECT_FALSE(serves([&](Args& a) { a.v = odd; }));
  EXPECT_FALSE(serves([&](Args& a) { a.out = const_cast<void*>(odd); }));
  EXPECT_FALSE(serves([&](Args& a) { a.log_sum = const_cast<void*>(odd); }));
  EXPECT_FALSE(serves([](Args& a) { a.k_strides.row += 4; }));
  EXPECT_FALSE(serves([](Args& a) { a.v_strides.head += 4; }));
  EXPECT_FALSE(serves([](Args& a) { a.out_strides.batch += 4; }));

  using Back = kernels::AttentionBackwardArgs;
  const auto serves_backward = [](const auto& change) {
    Back b{};
    const Args a = plain();
    b.problem = a.problem;
    for (kernels::HeadStrides* s :
         {&b.q_strides, &b.k_strides, &b.v_strides, &b.out_strides, &b.grad_strides,
          &b.grad_q_strides, &b.grad_k_strides, &b.grad_v_strides})
      *s = a.out_strides;
    change(b);
    return refusal(b, kHopper) == nullptr;
  };
  EXPECT_TRUE(serves_backward([](Back&) {}));
  EXPECT_FALSE(serves_backward([](Back& b) { b.problem.drop_below = 1; }));
  EXPECT_FALSE(serves_backward([&](Back& b) { b.grad = odd; }));
  for (const void* Back::*input : {&Back::q, &Back::k, &Back::v, &Back::out, &Back::log_sum})
    EXPECT_FALSE(serves_backward([&](Back& b) { b.*input = odd; }));
  for (void* Back::*output : {&Back::grad_q, &Back::grad_k, &Back::grad_v})
    EXPECT_FALSE(serves_backward([&](Back& b) { b.*output = const_cast<void*>(odd); }));
}

}  // namespace
}  // namespace sing::test
