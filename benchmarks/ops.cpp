// Ops at the sizes of the shipped models, one thread. Each row has its rate and the fraction of the
// ceiling that was measured at the start of the same process (support/ceilings.h): of_fma for rows
// that compute, of_copy for rows that move memory. Times are processor time.
//   bench_ops [--device cuda [--tiny]] [--benchmark_filter=linear] [--benchmark_format=json]
// On a GPU: sizes of whole training batches, bf16 and f32; times of the device, of a graph over
// input sets that together exceed any cache; ceilings of_product and of_copy. --tiny rehearses.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <vector>

#include "benchmarks/support/ceilings.h"
#include "benchmarks/support/device.h"
#include "benchmarks/support/workloads.h"
#include "sing/autograd/tape.h"
#include "sing/backend/runtime.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/init.h"
#include "sing/nn/models/resnet.h"
#include "sing/ops/attention.h"
#include "sing/ops/conv.h"
#include "sing/ops/feed_forward.h"
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

bench::DeviceCeilings g_device_ceilings;
Device g_device;
bool g_tiny = false, g_failed = false;

/// Three sets of inputs in turn, so that the last one's data are not the next one's.
constexpr size_t kSets = 3;

/// What one call of an op costs in floating-point operations and in bytes that have to move, and
/// from which input on they are parameters: these have f32 gradient buffers, as in training. With
/// operations and bytes, a row of a GPU also says how much of its time the larger of the two
/// explains.
struct Work {
  double flops = 0, bytes = 0;
  size_t parameters_from = SIZE_MAX;
  double both_flops = 3;  ///< of forward and backward, in units of `flops`
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
      const bool parameter = i >= forward.parameters_from;
      if (backward)
        t.set_requires_grad().set_grad(parameter ? Tensor::zeros(t.shape(), {.device = g_device})
                                                 : zeros_like(t));
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

/// The same on a GPU. `forward.bytes` are those of f32.
void run_on_device(benchmark::State& state, const std::vector<Shape>& shapes, const Op& op,
                   const Work& forward, bool backward, DType dtype) {
  double set_bytes = 0;
  for (const Shape& shape : shapes)
    set_bytes += static_cast<double>(shape.numel()) * static_cast<double>(size_of(dtype));
  // Three at least, and together four times the cache of 60 MB; few enough for one graph.
  const double wanted = g_tiny ? 3 : std::clamp(256e6 / set_bytes, 3.0, 64.0);
  std::vector<Inputs> sets(static_cast<size_t>(wanted));
  for (size_t s = 0; s < sets.size(); ++s)
    for (size_t i = 0; i < shapes.size(); ++i) {
      Tensor t = bench::random_on(g_device, shapes[i], 10 * s + i).to(dtype);
      const bool parameter = i >= forward.parameters_from;
      if (backward)
        t.set_requires_grad().set_grad(parameter ? Tensor::zeros(t.shape(), {.device = g_device})
                                                 : zeros_like(t));
      sets[s].push_back(t);
    }
  const Tensor grad =
      backward ? bench::random_on(g_device, op(sets[0]).shape(), 99).to(dtype) : Tensor();
  std::string note;
  const auto all = bench::replayed(
      g_device,
      [&] {
        for (const Inputs& set : sets) {
          const Tensor y = op(set);
          if (backward) y.backward(grad);
        }
      },
      &note);
  std::vector<double> times;
  for (auto _ : state) {
    times.push_back(bench::device_seconds(g_device, all) / static_cast<double>(sets.size()));
    state.SetIterationTime(times.back());
  }
  std::ranges::sort(times);
  const double seconds = times[times.size() / 2];
  state.counters["median_us"] = 1e6 * seconds;
  state.counters["spread"] = (times.back() - times.front()) / seconds;
  const double product = dtype == DType::bf16 ? g_device_ceilings.bf16 : g_device_ceilings.f32;
  const double flops = forward.flops * (backward ? forward.both_flops : 1);
  const double bytes = forward.bytes * static_cast<double>(size_of(dtype)) / 4 * (backward ? 3 : 1);
  if (flops > 0) {
    state.counters["TFLOP/s"] = flops / seconds * 1e-12;
    state.counters["of_product"] = flops / seconds / product;
  }
  if (bytes > 0) {
    state.counters["GB/s"] = bytes / seconds * 1e-9;
    state.counters["of_copy"] = bytes / seconds / g_device_ceilings.copy;
  }
  if (flops > 0 && bytes > 0)
    state.counters["of_floor"] =
        std::max(flops / product, bytes / g_device_ceilings.copy) / seconds;
  if (!note.empty()) state.SetLabel("not a graph: " + note);
}

void add(const std::string& name, std::vector<Shape> shapes, Op op, Work forward,
         bool with_bf16 = false) {
  if (g_device.type != DeviceType::cpu) {
    for (const DType dtype : {DType::bf16, DType::f32})
      for (const bool backward : {false, true})
        benchmark::RegisterBenchmark(
            (name + (dtype == DType::bf16 ? "/bf16" : "/f32") + (backward ? "/fwd+bwd" : "/fwd"))
                .c_str(),
            [=](benchmark::State& state) {
              try {
                run_on_device(state, shapes, op, forward, backward, dtype);
              } catch (const std::exception& error) {  // the other rows go on
                g_failed = true;
                state.SkipWithError(error.what());
              }
            })
            ->UseManualTime();
    return;
  }
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

void add_feed_forward() {
  for (const auto& [m, hidden, d] : {std::array<int64_t, 3>{1152, 256, 64}, {1024, 1536, 384}})
    add(
        fmt::format("feed_forward+gelu/{}x{}x{}", m, hidden, d),
        {{m, d}, {hidden, d}, {hidden}, {d, hidden}, {d}},
        [](const Inputs& in) { return ops::feed_forward(in[0], in[1], in[2], in[3], in[4]); },
        {4.0 * static_cast<double>(m * hidden * d), 0}, true);
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

/// Rows of a GPU: ViT-S/16 and ViT-B/16 with 512 pictures of 64 tokens, attention of 64 to 512
/// tokens, ResNet18 on 128 pictures of 32x32, cross entropy over 1,000 and 32,000 classes.
void add_device_rows() {
  const auto linear = [](int64_t m, int64_t n, int64_t k, bool gelu) {
    add(fmt::format("linear{}/{}x{}x{}", gelu ? "+gelu" : "", m, n, k), {{m, k}, {n, k}, {n}},
        [gelu](const Inputs& in) {
          return ops::linear(in[0], in[1], in[2],
                             gelu ? ops::Activation::gelu : ops::Activation::none);
        },
        {2.0 * static_cast<double>(m) * static_cast<double>(n * k), 0, 1});
  };
  const auto feed_forward = [](int64_t m, int64_t hidden, int64_t d, bool tanh) {
    add(fmt::format("feed_forward+gelu{}/{}x{}x{}", tanh ? "_tanh" : "", m, hidden, d),
        {{m, d}, {hidden, d}, {hidden}, {d, hidden}, {d}},
        [tanh](const Inputs& in) {
          return ops::feed_forward(in[0], in[1], in[2], in[3], in[4],
                                   tanh ? ops::Activation::gelu_tanh : ops::Activation::gelu);
        },
        {4.0 * static_cast<double>(m) * static_cast<double>(hidden * d), 0, 1});
  };
  const auto row_ops = [](int64_t rows, int64_t cols) {
    const double bytes = 2.0 * 4 * static_cast<double>(rows) * static_cast<double>(cols);
    add(fmt::format("layer_norm/{}x{}", rows, cols), {{rows, cols}, {cols}, {cols}},
        [](const Inputs& in) { return ops::layer_norm(in[0], in[1], in[2]); }, {0, bytes});
    add(fmt::format("add_layer_norm/{}x{}", rows, cols),
        {{rows, cols}, {rows, cols}, {cols}, {cols}},
        [](const Inputs& in) { return ops::add_layer_norm(in[0], in[1], in[2], in[3]).y; },
        {0, 2 * bytes});
    add(fmt::format("softmax/{}x{}", rows, cols), {{rows, cols}},
        [](const Inputs& in) { return ops::softmax(in[0], -1); }, {0, bytes});
  };
  const auto loss = [](int64_t rows, int64_t classes) {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i * 7919 % classes);
    const Tensor targets = Tensor::from(labels, {rows}).to(g_device);
    add(fmt::format("cross_entropy/{}x{}", rows, classes), {{rows, classes}},
        [targets](const Inputs& in) { return ops::cross_entropy(in[0], targets); },
        {0, 4.0 * static_cast<double>(rows) * static_cast<double>(classes)});
  };
  const auto attention = [](int64_t b, int64_t t, int64_t h, int64_t d) {
    add(fmt::format("attention/b{}_t{}_h{}_d{}", b, t, h, d), {{b, t, 3 * h * d}},
        [h](const Inputs& in) { return ops::attention_packed(in[0], h); },
        // Backward is five products, forward two. q, k, v and the result; on the way back these,
        // the gradient that came and three that go.
        {4.0 * static_cast<double>(b * h) * static_cast<double>(t * t * d),
         4.0 * 4 * static_cast<double>(b * t * h * d), SIZE_MAX, 3.5});
  };
  const auto convolution = [](int64_t b, int64_t from, int64_t to, int64_t side) {
    add(fmt::format("conv/b{}_{}to{}_{}px_3x3", b, from, to, side),
        {{b, from, side, side}, {to, from, 3, 3}},
        [](const Inputs& in) {
          return ops::conv2d(in[0], in[1], {}, {.padding = {1, 1}});
        },
        {2.0 * 9 * static_cast<double>(b * side * side) * static_cast<double>(from * to), 0});
  };
  if (g_tiny) {
    linear(16, 16, 16, true);
    feed_forward(16, 32, 16, true);
    row_ops(2, 32);
    loss(4, 10);
    attention(1, 8, 2, 16);
    convolution(1, 8, 8, 4);
    return;
  }
  constexpr int64_t kTokens = 512 * 64;
  for (const int64_t d : {int64_t{384}, int64_t{768}}) {
    linear(kTokens, 3 * d, d, false);
    linear(kTokens, d, d, false);
    linear(kTokens, 4 * d, d, true);
    linear(kTokens, d, 4 * d, false);
    feed_forward(kTokens, 4 * d, d, false);
    feed_forward(kTokens, 4 * d, d, true);
    row_ops(kTokens, d);
  }
  row_ops(8192, 1024);
  loss(1024, 1000);
  loss(8192, 32000);
  attention(512, 64, 6, 64);
  attention(128, 128, 12, 64);
  attention(128, 256, 6, 64);
  attention(12, 384, 12, 64);
  attention(64, 512, 12, 64);
  convolution(128, 64, 64, 32);
  convolution(128, 128, 128, 16);
  convolution(128, 256, 256, 8);
  convolution(128, 512, 512, 4);
}

/// Takes --device NAME and --tiny out of the words.
void take_device(int& argc, char** argv) {
  std::string name = "cpu";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--tiny")
      g_tiny = true;
    else if (word == "--device" && i + 1 < argc)
      name = argv[++i];
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  g_device = bench::device_named(name);
}

int run_device() {
  g_device_ceilings = bench::measure_ceilings(g_device, g_tiny);
  const bench::DeviceCeilings& c = g_device_ceilings;
  benchmark::AddCustomContext("device", backend::runtime(g_device).description());
  benchmark::AddCustomContext("ceiling copy", fmt::format("{:.1f} GB/s", c.copy * 1e-9));
  benchmark::AddCustomContext("ceiling bf16 product",
                              fmt::format("{:.1f} TFLOP/s", c.bf16 * 1e-12));
  benchmark::AddCustomContext("ceiling f32 product", fmt::format("{:.2f} TFLOP/s", c.f32 * 1e-12));
  add_device_rows();
  benchmark::RunSpecifiedBenchmarks();
  return g_failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) try {
  take_device(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (g_device.type != DeviceType::cpu) return run_device();
  set_num_threads(1);
  g_ceilings = bench::measure_ceilings();
  benchmark::AddCustomContext("ceiling f32 FMA",
                              fmt::format("{:.1f} GFLOP/s", g_ceilings.flops * 1e-9));
  benchmark::AddCustomContext("ceiling copy", fmt::format("{:.1f} GB/s", g_ceilings.bytes * 1e-9));
  benchmark::AddCustomContext("device", backend::runtime({}).description());
  add_products();
  add_feed_forward();
  add_norms();
  add_attention();
  add_convolutions();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_ops: %s\n", error.what());
  return 2;
}
