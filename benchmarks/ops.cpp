// Ops at the sizes of the shipped models, one thread. Each row has its rate and the fraction of the
// ceiling that was measured at the start of the same process (support/ceilings.h): of_fma for rows
// that compute, of_copy for rows that move memory. Times are processor time.
//   bench_ops [--benchmark_filter=linear] [--benchmark_format=json]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <functional>
#include <vector>

#include "benchmarks/support/ceilings.h"
#include "benchmarks/support/workloads.h"
#include "sing/autograd/tape.h"
#include "sing/backend/runtime.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/init.h"
#include "sing/nn/models/resnet.h"
#include "sing/ops/attention.h"
#include "sing/ops/conv.h"
#include "sing/ops/linear.h"
#include "sing/ops/loss.h"
#include "sing/ops/norm.h"
#include "sing/ops/softmax.h"

namespace {

using namespace sing;

bench::Ceilings g_ceilings;

Tensor random_tensor(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
  Tensor t = Tensor::empty(shape);
  nn::Init::normal(1).fill(t, {.seed = seed});
  return t.to(dtype);
}

/// Three sets of inputs in turn, so that the last one's data are not the next one's.
constexpr size_t kSets = 3;

/// What one call of an op costs in floating-point operations and in bytes that have to move.
struct Work {
  double flops = 0, bytes = 0;
};

/// Runs the loop and notes its rate. Own counters rather than the library's, which would print a
/// fraction as "per second".
template <class F>
void measure(benchmark::State& state, const Work& work, F&& once) {
  const double before = bench::thread_seconds();
  for (auto _ : state) once();
  const double seconds =
      (bench::thread_seconds() - before) / static_cast<double>(state.iterations());
  if (work.flops > 0) {
    state.counters["GFLOP/s"] = work.flops / seconds * 1e-9;
    state.counters["of_fma"] = work.flops / seconds / g_ceilings.flops;
  } else {
    state.counters["GB/s"] = work.bytes / seconds * 1e-9;
    state.counters["of_copy"] = work.bytes / seconds / g_ceilings.bytes;
  }
}

using Inputs = std::vector<Tensor>;
using Op = std::function<Tensor(const Inputs&)>;

/// Forward alone, or forward and backward to every input.
void run_op(benchmark::State& state, const std::vector<Shape>& shapes, const Op& op,
            const Work& forward, bool backward, DType dtype = DType::f32) {
  std::array<Inputs, kSets> sets;
  for (size_t s = 0; s < kSets; ++s)
    for (size_t i = 0; i < shapes.size(); ++i) {
      Tensor t = random_tensor(shapes[i], 10 * s + i, dtype);
      if (backward) t.set_requires_grad().set_grad(zeros_like(t));
      sets[s].push_back(t);
    }
  Tensor grad = backward ? random_tensor(op(sets[0]).shape(), 99, dtype) : Tensor();
  // A product is done twice again on the way back; what moves memory reads and writes about twice.
  const double times = backward ? 3 : 1;
  size_t turn = 0;
  measure(state, {forward.flops * times, forward.bytes * times}, [&] {
    const Tensor y = op(sets[turn++ % kSets]);
    if (backward) y.backward(grad);
    benchmark::DoNotOptimize(y.raw());
  });
}

void add(const std::string& name, std::vector<Shape> shapes, Op op, Work forward,
         bool with_bf16 = false) {
  for (const bool backward : {false, true})
    benchmark::RegisterBenchmark(
        (name + (backward ? "/fwd+bwd" : "/fwd")).c_str(),
        [=](benchmark::State& state) { run_op(state, shapes, op, forward, backward); });
  if (with_bf16 && backend::cpu_has_bf16())
    benchmark::RegisterBenchmark((name + "/bf16/fwd").c_str(), [=](benchmark::State& state) {
      run_op(state, shapes, op, forward, false, DType::bf16);
    });
}

void add_products() {
  // rows x outputs x inputs: quickstart (32 x 36 tokens), ViT-S/16 (16 x 64 tokens).
  const int64_t sizes[][3] = {{1152, 192, 64},   {1152, 256, 64},   {1152, 64, 256},
                              {1024, 1152, 384}, {1024, 1536, 384}, {1024, 384, 1536}};
  for (const auto& [m, n, k] : sizes) {
    const double flops = 2.0 * static_cast<double>(m * n * k);
    const std::string size = fmt::format("{}x{}x{}", m, n, k);
    add(
        "linear/" + size, {{m, k}, {n, k}, {n}},
        [](const Inputs& in) { return ops::linear(in[0], in[1], in[2]); }, {flops, 0}, true);
    add("linear+gelu/" + size, {{m, k}, {n, k}, {n}},
        [](const Inputs& in) { return ops::linear(in[0], in[1], in[2], ops::Activation::gelu); },
        {flops, 0});
  }
}

void add_norms() {
  for (const auto& [rows, cols] : {std::array<int64_t, 2>{1152, 64}, {1024, 384}, {16384, 384}}) {
    const double bytes = 2.0 * 4 * static_cast<double>(rows * cols);
    const std::string size = fmt::format("{}x{}", rows, cols);
    add("layer_norm/" + size, {{rows, cols}, {cols}, {cols}},
        [](const Inputs& in) { return ops::layer_norm(in[0], in[1], in[2]); }, {0, bytes});
    add("softmax/" + size, {{rows, cols}}, [](const Inputs& in) { return ops::softmax(in[0], -1); },
        {0, bytes});
  }
}

void add_attention() {
  // batch, tokens, heads, width of a head
  const int64_t sizes[][4] = {{32, 36, 4, 16}, {16, 64, 6, 64}, {4, 256, 6, 64}};
  for (const auto& [b, t, h, d] : sizes)
    add(fmt::format("attention/b{}_t{}_h{}_d{}", b, t, h, d), {{b, t, 3 * h * d}},
        [heads = h](const Inputs& in) { return ops::attention_packed(in[0], heads); },
        {4.0 * static_cast<double>(b * h * t * t * d), 0});
}

void add_convolutions() {
  // batch, channels in, channels out, side, kernel, stride: ResNet18 on 32x32 pictures
  const int64_t sizes[][6] = {{32, 3, 64, 32, 3, 1},
                              {32, 64, 64, 32, 3, 1},
                              {32, 128, 128, 16, 3, 1},
                              {32, 256, 256, 8, 3, 1}};
  for (const auto& [b, in_channels, out_channels, side, kernel, stride] : sizes) {
    const int64_t out = side / stride;
    add(fmt::format("conv/b{}_{}to{}_{}px_{}x{}", b, in_channels, out_channels, side, kernel,
                    kernel),
        {{b, in_channels, side, side}, {out_channels, in_channels, kernel, kernel}},
        [=](const Inputs& in) {
          return ops::conv2d(in[0], in[1], {},
                             {.stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}});
        },
        {2.0 * static_cast<double>(b * out * out * out_channels * in_channels * kernel * kernel),
         0});
  }
}

}  // namespace

int main(int argc, char** argv) {
  set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  g_ceilings = bench::measure_ceilings();
  benchmark::AddCustomContext("ceiling f32 FMA",
                              fmt::format("{:.1f} GFLOP/s", g_ceilings.flops * 1e-9));
  benchmark::AddCustomContext("ceiling copy", fmt::format("{:.1f} GB/s", g_ceilings.bytes * 1e-9));
  benchmark::AddCustomContext("device", backend::runtime({}).description());
  add_products();
  add_norms();
  add_attention();
  add_convolutions();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
