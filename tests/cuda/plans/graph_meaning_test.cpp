// What cuDNN is asked for is what the CPU computes: graphs followed by their definition, in f64,
// against the reference kernels. (What cuDNN then computes, only a device can show.)
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/cuda/cudnn/attention_graph.h"
#include "backend/cuda/cudnn/convolution_graph.h"
#include "cuda/plans/device.h"
#include "cuda/plans/follow_graph.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

/// Both sides compute in f64; sums have at most a few hundred terms of magnitude 1.
constexpr double kTolerance = 1e-12;

std::vector<double> numbers(int64_t count, double seed) {
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<double>(i);
    values[i] = std::sin(seed + 0.7 * at + 1e-3 * at * at);
  }
  return values;
}

void expect_equal(const std::vector<double>& got, const std::vector<double>& wanted,
                  const char* what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], kTolerance) << what << ", element " << i;
}

// --- convolution
// ----------------------------------------------------------------------------------

kernels::Conv2dGeometry geometry(int64_t groups, bool channels_last) {
  const int64_t in_group = 2, kh = 3, kw = 2;
  kernels::Conv2dGeometry g{2,
                            in_group * groups,
                            7,
                            6,
                            3 * groups,
                            4,
                            5,
                            kh,
                            kw,
                            2,
                            1,
                            1,
                            1,
                            1,
                            2,
                            groups,
                            {in_group * kh * kw, kh * kw, kw, 1}};
  g.out_h = (g.in_h + 2 * g.pad_h - (kh - 1) * g.dilation_h - 1) / g.stride_h + 1;
  g.out_w = (g.in_w + 2 * g.pad_w - (kw - 1) * g.dilation_w - 1) / g.stride_w + 1;
  if (channels_last) g.weight_strides = {in_group * kh * kw, 1, kw * in_group, in_group};
  return g;
}

void check_convolutions(const kernels::Conv2dGeometry& g) {
  const backend::KernelPathGuard reference(backend::KernelPath::reference);
  const std::vector<double> x = numbers(g.n * g.in_channels * g.in_h * g.in_w, 1);
  const std::vector<double> y = numbers(g.n * g.out_channels * g.out_h * g.out_w, 2);
  const std::vector<double> w =
      numbers(g.out_channels * (g.in_channels / g.groups) * g.kernel_h * g.kernel_w, 3);
  const std::vector<double> bias = numbers(g.out_channels, 4);
  const auto graph_of = [&](ConvolutionPass pass, bool with_bias, bool accumulate) {
    return convolution_graph({pass, g, DType::f32, DType::f32, with_bias, accumulate, 16},
                             absent_h200());
  };
  for (const bool with_bias : {false, true}) {
    GraphMemory memory{{kImage, x}, {kFilter, w}};
    if (with_bias) memory[kBias] = bias;
    follow(graph_of(ConvolutionPass::forward, with_bias, false), memory);
    std::vector<double> wanted(y.size());
    kernels::conv2d_fwd(
        DeviceType::cpu,
        {g, x.data(), w.data(), with_bias ? bias.data() : nullptr, wanted.data(), DType::f64, {}});
    expect_equal(memory[kOutput], wanted, with_bias ? "forward with bias" : "forward");
  }
  {
    GraphMemory memory{{kFilter, w}, {kOutput, y}};
    follow(graph_of(ConvolutionPass::backward_data, false, false), memory);
    std::vector<double> wanted(x.size());
    kernels::conv2d_bwd_data(DeviceType::cpu,
                             {g, y.data(), w.data(), wanted.data(), DType::f64, {}});
    expect_equal(memory[kImage], wanted, "gradient of the image");
  }
  for (const bool accumulate : {false, true}) {
    GraphMemory memory{{kImage, x}, {kFilter, w}, {kOutput, y}};
    follow(graph_of(ConvolutionPass::backward_weight, false, accumulate), memory);
    std::vector<double> wanted = w;
    kernels::conv2d_bwd_weight(DeviceType::cpu, {g,
                                                 x.data(),
                                                 y.data(),
                                                 wanted.data(),
                                                 nullptr,
                                                 accumulate,
                                                 false,
                                                 DType::f64,
                                                 DType::f64,
                                                 DType::f64,
                                                 {}});
    expect_equal(memory[kFilter], wanted, "gradient of the weight");
  }
}

TEST(CudnnGraphs, ConvolutionsMeanWhatTheReferenceComputes) {
  for (const int64_t groups : {1, 2})
    for (const bool channels_last : {false, true}) {
      SCOPED_TRACE(groups);
      SCOPED_TRACE(channels_last);
      check_convolutions(geometry(groups, channels_last));
    }
}

TEST(CudnnGraphs, PlansOfDifferentProblemsHaveDifferentKeys) {
  const ConvolutionProblem base{ConvolutionPass::backward_weight,
                                geometry(1, true),
                                DType::bf16,
                                DType::bf16,
                                false,
                                false,
                                16};
  ConvolutionProblem p = base;
  EXPECT_EQ(p.key(), base.key());
  p.geometry.weight_strides = geometry(1, false).weight_strides;
  EXPECT_NE(p.key(), base.key());
  p = base;
  p.accumulate = true;
  EXPECT_NE(p.key(), base.key());
  p = base;
  p.alignment = 2;
  EXPECT_NE(p.key(), base.key());
  p = base;
  p.dtype = DType::f32;
  EXPECT_NE(p.key(), base.key());
  p = base;
  p.geometry.dilation_w = 1;
  EXPECT_NE(p.key(), base.key());
}

// --- attention
// ------------------------------------------------------------------------------------

/// Tokens outside, heads inside, `parts` tensors side by side in memory: q, k and v of one
/// projection, or a plain tensor.
kernels::HeadStrides strides(const kernels::AttentionProblem& p, int64_t tokens, int64_t parts) {
  const int64_t row = parts * p.heads * p.dim;
  return {tokens * row, p.dim, row};
}

kernels::AttentionProblem problem(bool causal, DType dtype) {
  kernels::AttentionProblem p{};
  p.batch = 2;
  p.heads = 3;
  p.queries = 9;
  p.keys = 7;
  p.dim = p.value_dim = 8;
  p.dtype = dtype;
  p.wide_dtype = dtype == DType::f64 ? DType::f64 : DType::f32;
  p.causal = causal;
  p.scale = 0.4;
  p.keep_scale = 1;
  return p;
}

struct AttentionMemory {
  explicit AttentionMemory(const kernels::AttentionProblem& p)
      : q_strides(strides(p, p.queries, 2)),
        k_strides(strides(p, p.keys, 3)),
        out_strides(strides(p, p.queries, 1)),
        q(numbers(p.batch * q_strides.batch, 1)),
        k(numbers(p.batch * k_strides.batch, 2)),
        v(numbers(p.batch * k_strides.batch, 3)),
        out(static_cast<size_t>(p.batch * out_strides.batch)),
        grad(numbers(p.batch * out_strides.batch, 4)),
        log_sum(static_cast<size_t>(p.batch * p.heads * p.queries)) {}
  kernels::HeadStrides q_strides, k_strides, out_strides;
  std::vector<double> q, k, v, out, grad, log_sum;

  kernels::AttentionForwardArgs forward(const kernels::AttentionProblem& p) {
    return {p,         q.data(),   k.data(),    v.data(),       q_strides, k_strides,
            k_strides, out.data(), out_strides, log_sum.data(), {}};
  }
};

/// The part of `memory` that a tensor with these strides covers: the rest is somebody else's.
void expect_equal_rows(const std::vector<double>& got, const std::vector<double>& wanted,
                       const kernels::AttentionProblem& p, int64_t tokens,
                       const kernels::HeadStrides& s, const char* what) {
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t h = 0; h < p.heads; ++h)
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t d = 0; d < p.dim; ++d) {
          const auto at = static_cast<size_t>(b * s.batch + h * s.head + t * s.row + d);
          ASSERT_NEAR(got.at(at), wanted.at(at), kTolerance)
              << what << " at " << b << " " << h << " " << t << " " << d;
        }
}

TEST(CudnnGraphs, AttentionMeansWhatTheReferenceComputes) {
  const backend::KernelPathGuard reference(backend::KernelPath::reference);
  const double hidden = -std::numeric_limits<double>::infinity();
  for (const bool causal : {false, true}) {
    SCOPED_TRACE(causal);
    const kernels::AttentionProblem exact = problem(causal, DType::f64);
    AttentionMemory m(exact);
    kernels::attention_forward(DeviceType::cpu, m.forward(exact));

    // The graph is made for bf16 and followed in f64.
    kernels::AttentionForwardArgs forward = m.forward(problem(causal, DType::bf16));
    GraphMemory memory{{kFwdQ, m.q}, {kFwdK, m.k}, {kFwdV, m.v}, {kFwdScale, {exact.scale}}};
    if (causal) memory[kFwdHidden] = {hidden};
    follow(attention_forward_graph(forward, 16, absent_h200()), memory);
    expect_equal(memory[kFwdLogSum], m.log_sum, "log-sums");
    expect_equal_rows(memory[kFwdOut], m.out, exact, exact.queries, m.out_strides, "output");

    kernels::AttentionBackwardArgs b{};
    std::vector<double> grad_q(m.q.size()), grad_k(m.k.size()), grad_v(m.v.size());
    b.problem = exact;
    b.q = m.q.data();
    b.k = m.k.data();
    b.v = m.v.data();
    b.out = m.out.data();
    b.grad = m.grad.data();
    b.log_sum = m.log_sum.data();
    b.q_strides = b.grad_q_strides = m.q_strides;
    b.k_strides = b.v_strides = b.grad_k_strides = b.grad_v_strides = m.k_strides;
    b.out_strides = b.grad_strides = m.out_strides;
    b.grad_q = grad_q.data();
    b.grad_k = grad_k.data();
    b.grad_v = grad_v.data();
    kernels::attention_backward(DeviceType::cpu, b);
    b.problem = problem(causal, DType::bf16);
    for (const bool deterministic : {true, false}) {
      SCOPED_TRACE(deterministic);
      GraphMemory back{{kBwdQ, m.q},
                       {kBwdK, m.k},
                       {kBwdV, m.v},
                       {kBwdOut, m.out},
                       {kBwdGrad, m.grad},
                       {kBwdLogSum, m.log_sum},
                       {kBwdScale, {exact.scale}},
                       {kBwdOne, {1.0}}};
      if (causal) back[kBwdHidden] = {hidden};
      follow(attention_backward_graph(b, 16, deterministic, absent_h200()), back);
      EXPECT_EQ(back.count(kBwdAccumulator), deterministic ? 0u : 1u);
      expect_equal_rows(back[kBwdGradQ], grad_q, exact, exact.queries, m.q_strides, "grad q");
      expect_equal_rows(back[kBwdGradK], grad_k, exact, exact.keys, m.k_strides, "grad k");
      expect_equal_rows(back[kBwdGradV], grad_v, exact, exact.keys, m.k_strides, "grad v");
    }
  }
}

TEST(CudnnGraphs, AttentionPlansOfDifferentCallsHaveDifferentKeys) {
  AttentionMemory m(problem(false, DType::bf16));
  const kernels::AttentionForwardArgs base = m.forward(problem(false, DType::bf16));
  kernels::AttentionForwardArgs other = base;
  EXPECT_EQ(plan_key(other, 16), plan_key(base, 16));
  other.problem.causal = true;
  EXPECT_NE(plan_key(other, 16), plan_key(base, 16));
  other = base;
  other.out_strides.row += 8;
  EXPECT_NE(plan_key(other, 16), plan_key(base, 16));
  const kernels::AttentionBackwardArgs backward{};
  EXPECT_NE(plan_key(backward, 16, true), plan_key(backward, 16, false));
}

}  // namespace
}  // namespace sing::test
