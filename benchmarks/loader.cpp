// How fast samples come: drawing RDE scenes, painting them, and whole batches through the loader.
//   cmake -B build -DSING_BUILD_BENCHMARKS=ON && ninja -C build bench_loader &&
//   build/benchmarks/bench_loader
// Rates with the suffix /s are per second of wall time; compare "CPU" on a shared machine.
#include <benchmark/benchmark.h>

#include <vector>

#include "sing/data/rde_dataset.h"
#include "sing/data/synthetic_images.h"

namespace {

using namespace sing;
using data::Split;

const char* const kPresets[] = {"full", "mid", "quick"};

void set_rate(benchmark::State& state, int64_t per_iteration) {
  state.SetItemsProcessed(state.iterations() * per_iteration);
}

/// 1,000 scenes by all threads.
void draw_scenes(benchmark::State& state) {
  const data::rde::Options options = data::rde::preset(kPresets[state.range(0)]);
  uint64_t first = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(data::rde::generate_range(options, 0, Split::train, first, 1000));
    first += 1000;
  }
  set_rate(state, 1000);
  state.SetLabel(kPresets[state.range(0)]);
}
BENCHMARK(draw_scenes)->DenseRange(0, 2)->MeasureProcessCPUTime()->UseRealTime();

/// Input, target and id map of one image, one thread, 64 different ones in turn.
void paint(benchmark::State& state) {
  const data::rde::Options options = data::rde::preset(kPresets[state.range(0)]);
  const auto scenes = data::rde::generate_range(options, 0, Split::train, 0, 64);
  const size_t pixels = static_cast<size_t>(options.size) * static_cast<size_t>(options.size);
  std::vector<float> image(64 * pixels), target(64 * pixels);
  std::vector<uint8_t> ids(64 * pixels);
  size_t i = 0;
  for (auto _ : state) {
    const data::rde::Scene& scene = scenes[i % 64];
    const size_t at = i++ % 64 * pixels;
    data::rde::paint_image(scene, options.size, data::rde::Variant::outline, image.data() + at);
    data::rde::paint_target(scene, options.size, options.depth_scale, target.data() + at);
    data::rde::paint_ids(scene, options.size, ids.data() + at);
    benchmark::ClobberMemory();
  }
  set_rate(state, 1);
  state.SetLabel(kPresets[state.range(0)]);
}
BENCHMARK(paint)->DenseRange(0, 2);

void walk(benchmark::State& state, std::shared_ptr<const data::Dataset> set) {
  const int64_t batch_size = state.range(0);
  data::Loader loader(std::move(set),
                      {.batch_size = batch_size, .workers = static_cast<int>(state.range(1))});
  Batch batch;
  loader.next(batch);
  for (auto _ : state) loader.next(batch);
  set_rate(state, batch_size);
}

/// Batches of `full`: batch size, workers.
void load_rde(benchmark::State& state) {
  data::RdeOptions options;
  options.train_size = 8192;
  walk(state, data::rde_dataset(options, Split::train));
}
BENCHMARK(load_rde)
    ->ArgsProduct({{32, 512}, {0, 1, 2}})
    ->ArgNames({"batch", "workers"})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void load_synthetic_images(benchmark::State& state) {
  walk(state, data::synthetic_images({}, Split::train));
}
BENCHMARK(load_synthetic_images)
    ->ArgsProduct({{128}, {0, 2}})
    ->ArgNames({"batch", "workers"})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
