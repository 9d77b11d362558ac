// Products with GELU: cuDNN is asked for what the CPU computes, and for nothing else.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/cuda/cudnn/matmul_rules.h"
#include "cuda/plans/device.h"
#include "cuda/plans/follow_graph.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it
using kernels::Epilogue;
using kernels::GemmArgs;

/// Both sides compute in f64; sums have at most sixteen terms of magnitude 1.
constexpr double kTolerance = 1e-13;

constexpr int64_t kM = 5, kN = 16, kK = 8, kRowA = 24, kRowB = 32, kRowC = 40;

std::vector<double> numbers(int64_t count, double seed) {
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(seed + 0.7 * static_cast<double>(i));
  return values;
}

struct Memory {
  std::vector<double> a = numbers(kM * kRowA, 1), b = numbers(kN * kRowB, 2), bias = numbers(kN, 3);
  std::vector<double> c = numbers(kM * kRowC, 4), kept = numbers(kM * kRowC, 5);
};

GemmArgs args(Memory& m, bool transposed, bool bias, bool keep, DType dtype) {
  GemmArgs g{};
  g.a = m.a.data();
  g.b = m.b.data();
  g.c = m.c.data();
  g.dtype = g.c_dtype = dtype;
  g.m = kM;
  g.n = kN;
  g.k = kK;
  g.a_row = kRowA;
  g.a_col = 1;
  g.b_row = transposed ? 1 : kRowB;
  g.b_col = transposed ? kRowB : 1;
  g.c_row = kRowC;
  g.epilogue = Epilogue::gelu;
  if (bias) g.bias = m.bias.data();
  if (keep) g.slope = m.kept.data();
  return g;
}

void expect_rows(const std::vector<double>& got, const std::vector<double>& wanted,
                 const char* what) {
  for (int64_t i = 0; i < kM; ++i)
    for (int64_t j = 0; j < kN; ++j) {
      const auto at = static_cast<size_t>(i * kRowC + j);
      ASSERT_NEAR(got.at(at), wanted.at(at), kTolerance) << what << " " << i << " " << j;
    }
}

TEST(CudnnGraphs, ProductsWithGeluMeanWhatTheReferenceComputes) {
  const backend::KernelPathGuard reference(backend::KernelPath::reference);
  for (const bool transposed : {false, true})
    for (const bool bias : {false, true})
      for (const bool keep : {false, true}) {
        Memory m;
        const std::optional<GeluProblem> problem =
            gelu_problem(args(m, transposed, bias, keep, DType::bf16));
        ASSERT_TRUE(problem.has_value());
        SCOPED_TRACE(problem->text());
        GraphMemory graph{{kLeft, m.a}, {kRight, m.b}, {kBiasRow, m.bias}};
        follow(gelu_graph(*problem, absent_h200()), graph);
        EXPECT_EQ(graph.count(kKept), keep ? 1u : 0u);
        kernels::gemm(DeviceType::cpu, args(m, transposed, bias, keep, DType::f64));
        expect_rows(graph[kResult], m.c, "result");
        if (!keep) continue;
        // The CPU keeps the derivative at what cuDNN keeps. A product of ones shows it.
        GemmArgs g = args(m, transposed, false, false, DType::bf16);
        g.kept = m.kept.data();
        const std::optional<GeluProblem> back = gelu_problem(g);
        ASSERT_TRUE(back.has_value());
        GraphMemory way_back{{kLeft, std::vector<double>(kM * kRowA, 1.0 / kK)},
                             {kRight, std::vector<double>(kN * kRowB, 1.0)},
                             {kKept, graph[kKept]}};
        follow(gelu_graph(*back, absent_h200()), way_back);
        expect_rows(way_back[kResult], m.kept, "derivative");
      }
}

TEST(CudnnRules, WhichProductsWithGeluCudnnIsAskedFor) {
  Memory m;
  const GemmArgs good = args(m, true, true, true, DType::bf16);
  const auto served = [&](auto&& change) {
    GemmArgs g = good;
    change(g);
    return gelu_problem(g).has_value();
  };
  EXPECT_TRUE(served([](GemmArgs&) {}));
  EXPECT_TRUE(served([](GemmArgs& g) { g.batch_rank = 1, g.batch[0] = 1; }));
  EXPECT_TRUE(served([](GemmArgs& g) { g.b_row = kRowB, g.b_col = 1; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.epilogue = Epilogue::gelu_tanh; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.dtype = DType::f32; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.c_dtype = DType::f32; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.accumulate = true; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.bias_grad = g.c; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.m = 0; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.batch_rank = 1, g.batch[0] = 2; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.a_col = 2; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.b_row = 2; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.n = 12; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.k = 4; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.a_row = 20; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.a_row = 0; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.b_col = 36; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.c_row = 44; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.slope = static_cast<char*>(g.slope) + 8; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.kept = static_cast<char*>(g.slope) + 8; }));
  EXPECT_FALSE(served([](GemmArgs& g) { g.bias = static_cast<const char*>(g.bias) + 2; }));
}

TEST(CudnnRules, WhenProductsWithGeluAreTimed) {
  GeluProblem problem{GeluPass::result, true, 32768, 1536, 384, 384, 1, 384, 1536};
  const auto timed = [&](const TimingRules& rules) {
    return why_not_timed(problem, rules) == nullptr;
  };
  constexpr bool kCaptured = true, kDeterministic = true, kFile = true;
  EXPECT_TRUE(timed({!kCaptured, !kDeterministic, !kFile}));
  EXPECT_TRUE(timed({!kCaptured, kDeterministic, kFile}));
  EXPECT_FALSE(timed({!kCaptured, kDeterministic, !kFile}));
  EXPECT_FALSE(timed({kCaptured, !kDeterministic, kFile}));
  problem.m = 512;
  EXPECT_FALSE(timed({!kCaptured, !kDeterministic, kFile}));
}

TEST(CudnnGraphs, GeluPlansOfDifferentProductsHaveDifferentKeys) {
  const GeluProblem base{GeluPass::result, true, 64, 16, 8, 8, 1, 8, 16};
  GeluProblem p = base;
  EXPECT_EQ(p.key(), base.key());
  for (const auto field : {&GeluProblem::m, &GeluProblem::n, &GeluProblem::k, &GeluProblem::a_row,
                           &GeluProblem::b_row, &GeluProblem::b_col, &GeluProblem::c_row}) {
    p = base;
    p.*field += 8;
    EXPECT_NE(p.key(), base.key());
  }
  p = base;
  p.pass = GeluPass::result_and_kept;
  EXPECT_NE(p.key(), base.key());
  p = base;
  p.bias = false;
  EXPECT_NE(p.key(), base.key());
}

}  // namespace
}  // namespace sing::test
