// A whole training step, cut into its parts, with what it asks of the system.
//   bench_step [WORKLOAD] [--device cuda] [--batch N] [--threads N] [--seconds S] [--json FILE]
//              [--optimizer sing|adamw] [--dtype f32|bf16, --bf16] [--no-graph] [--depth N]
//              [--trace FILE]
// Beside it: the floor of the step (support/floor_model.h) by the ceilings of this device, measured
// in the same process. On a GPU the parts are times of the device, and whole steps are replayed
// from a graph. --trace takes one step down on the emulated backend, see bench_plan.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/support/ceilings.h"
#include "benchmarks/support/clocks.h"
#include "benchmarks/support/device.h"
#include "benchmarks/support/workloads.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/json.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/context.h"
#include "sing/nn/init.h"
#include "sing/ops/loss.h"

namespace {

using namespace sing;
using bench::Instant;

struct Settings {
  std::string workload = "quickstart", optimizer = "sing", device = "cpu", json;
  int64_t batch = 0;  ///< 0: of the workload
  int threads = num_threads();
  double seconds = 5;
  int64_t depth = 0;  ///< blocks of a transformer; 0: of the workload
  std::string trace;
  bool bf16 = false, graph = true;
};

bool is_bf16(const std::string& dtype) {
  if (dtype != "f32" && dtype != "bf16") throw std::invalid_argument("--dtype f32 or bf16");
  return dtype == "bf16";
}

Settings parse(int argc, char** argv) {
  Settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      if (++i >= argc) throw std::invalid_argument(word + " wants a value");
      return std::string(argv[i]);
    };
    if (word == "--threads")
      s.threads = std::stoi(value());
    else if (word == "--seconds")
      s.seconds = std::stod(value());
    else if (word == "--optimizer")
      s.optimizer = value();
    else if (word == "--device")
      s.device = value();
    else if (word == "--batch")
      s.batch = std::stoll(value());
    else if (word == "--json")
      s.json = value();
    else if (word == "--depth")
      s.depth = std::stoll(value());
    else if (word == "--trace")
      s.trace = value();
    else if (word == "--graph" || word == "--no-graph")
      s.graph = word == "--graph";
    else if (word == "--bf16")
      s.bf16 = true;
    else if (word == "--dtype")
      s.bf16 = is_bf16(value());
    else if (word.starts_with("-"))
      throw std::invalid_argument("unknown flag " + word);
    else
      s.workload = word;
  }
  return s;
}

/// A network with its optimizer and one batch, on a device.
struct Training {
  Training(const Settings& settings, Device on)
      : device(on),
        workload(bench::workload(settings.workload, on.type != DeviceType::cpu)),
        bf16(settings.bf16) {
    if (settings.batch > 0) workload.batch = settings.batch;
    if (settings.depth > 0) workload.model.depth = settings.depth;
    model = workload.make_model();
    model->initialize(0);
    if (device.type != DeviceType::cpu) model->to(device);
    optimizer.emplace(bench::optimizer_config(settings.optimizer), model->parameters());
    if (bf16) model->set_precision(DType::bf16);
    const nn::DataShape data = workload.data();
    const Shape images{workload.batch, data.channels, workload.image, workload.image};
    inputs = bench::random_on(device, images, 1);
    if (workload.classifies) {
      targets = Tensor::empty({workload.batch}, {.dtype = DType::i64});
      for (int64_t i = 0; i < workload.batch; ++i)
        targets.mutable_data<int64_t>()[i] = 7 * i % data.outputs;
      targets = targets.to(device);
    } else {
      targets = bench::random_on(device, images, 2);
    }
    floor = workload.floor(model->parameter_count(),
                           bench::Widths::of(bf16, settings.optimizer == "sing"));
  }
  Tensor forward() {
    const nn::ForwardContext context(0, static_cast<uint64_t>(step));
    const autocast::Guard mixed(bf16 ? std::optional(DType::bf16) : std::nullopt);
    const Tensor output = model->forward(inputs);
    if (workload.classifies) return ops::cross_entropy(output, targets);
    return ops::mse_loss(output, targets);
  }
  double flops() const { return 6.0 * static_cast<double>(model->forward_macs() * workload.batch); }

  Device device;
  bench::Workload workload;
  bool bf16;
  std::unique_ptr<nn::Model> model;
  std::optional<optim::Optimizer> optimizer;
  bench::FloorModel floor;
  Tensor inputs, targets;
  int64_t step = 0;
};

/// One step for the emulator's trace, cut into its phases by lines of our own.
int run_traced(const Settings& settings, Device device) {
  Training training(settings, device);
  optim::Optimizer& optimizer = *training.optimizer;
  const auto phase = [&settings](const char* name) {
    std::ofstream(settings.trace, std::ios::app) << "# " << name << "\n";
  };
  for (int i = 0; i < 2; ++i) {  // the first one makes tables that stay
    std::ofstream(settings.trace, std::ios::trunc) << "";
    phase("forward");
    Tensor loss = training.forward();
    phase("backward");
    loss.backward();
    phase("queued by the host");
    optimizer.prepare_step({.step = training.step++});
    phase("update");
    optimizer.launch_step();
    optimizer.zero_grad();
    phase("afterwards");
    optimizer.finish_step();
  }
  return 0;
}

/// How far a step that takes `seconds` is from what the device could do.
std::string floor_json(const Training& training, const bench::Rates& ceilings, double seconds) {
  const double floor = training.floor.seconds(ceilings);
  std::string groups;
  for (const std::string& group : training.floor.groups())
    groups += fmt::format("{}{}: {:.4f}", groups.empty() ? "" : ", ", json_quoted(group),
                          1e3 * training.floor.seconds(ceilings, group));
  return fmt::format(
      "\"ceiling_tflops\": {:.4g}, \"ceiling_gb_per_s\": {:.4g}, \"floor_ms\": {:.4f}, "
      "\"floor_fraction\": {:.4f}, \"of_product_ceiling\": {:.4f}, \"floor_by_group_ms\": {{{}}}",
      ceilings.flops * 1e-12, ceilings.bytes * 1e-9, 1e3 * floor, floor / seconds,
      training.flops() / seconds / ceilings.flops, groups);
}

/// What the maker of the card promises for dense bf16 products; 0: not known here. MFU is by
/// custom the fraction of that.
double promised_flops(const std::string& description) {
  for (const char* name : {"H100", "H200", "H800", "GH200"})
    if (description.find(name) != std::string::npos) return 989e12;
  return 0;
}

int run_on_device(const Settings& settings, Device device) {
  const bool tiny = settings.seconds == 0;
  Training training(settings, device);
  backend::DeviceRuntime& runtime = backend::runtime(device);
  optim::Optimizer& optimizer = *training.optimizer;
  const std::function<void()> pass = [&] {
    optimizer.zero_grad();
    training.forward().backward();
  };
  const auto prepare = [&] { optimizer.prepare_step({.step = training.step++}); };
  const std::function<void()> update = [&] { optimizer.launch_step(); };
  const std::function<void()> both = [&] { pass(), update(); };
  const Instant before_first = Instant::now();
  prepare(), both(), optimizer.finish_step();
  const double first = (Instant::now() - before_first).wall, started = bench::seconds_since_start();
  for (int i = 0; i < 2; ++i) prepare(), both(), optimizer.finish_step();

  std::vector<double> pass_times, update_times;
  const Instant start = Instant::now();
  do {
    pass_times.push_back(bench::device_seconds(device, pass));
    prepare();
    update_times.push_back(bench::device_seconds(device, update));
    optimizer.finish_step();
  } while ((Instant::now() - start).wall < settings.seconds);

  std::string note;
  std::unique_ptr<backend::Replay> graph;
  if (settings.graph) {
    prepare();
    try {
      graph = runtime.capture(both, nullptr);
      graph->launch();
    } catch (const Error& error) {
      note = error.what();
      both();
    }
    optimizer.finish_step();
  }
  // Steps in a row, as a training run queues them: what the host adds shows here only.
  const int64_t requests = runtime.memory().requests;
  const int in_a_row = settings.seconds > 0 ? 50 : 1;
  double host = 0;
  const double whole = bench::device_seconds(device,
                                             [&] {
                                               const Instant begun = Instant::now();
                                               for (int i = 0; i < in_a_row; ++i) {
                                                 prepare();
                                                 graph ? graph->launch() : both();
                                               }
                                               host = (Instant::now() - begun).cpu / in_a_row;
                                             }) /
                       in_a_row;
  optimizer.finish_step();
  const auto median = [](std::vector<double>& x) {
    std::ranges::sort(x);
    return x[x.size() / 2];
  };
  const double pass_time = median(pass_times), update_time = median(update_times);
  const backend::MemoryStatistics memory = runtime.memory();
  const int64_t nodes = graph ? graph->nodes() : 0;
  graph.reset();
  const bench::DeviceCeilings measured = bench::measure_ceilings(device, tiny);
  const bench::Rates ceilings{settings.bf16 ? measured.bf16 : measured.f32, measured.copy};
  const double promised = settings.bf16 ? promised_flops(runtime.description()) : 0;
  const double rate = training.flops() / whole;
  const std::string text = fmt::format(
      "{{\"workload\": \"{}\", \"batch\": {}, \"optimizer\": \"{}\", \"bf16\": {}, \"graph\": {}, "
      "\"not_a_graph\": {}, \"step_ms\": {:.4f}, \"pass_ms\": {:.4f}, \"optimizer_ms\": {:.4f}, "
      "\"optimizer_share\": {:.4f}, \"first_step_ms\": {:.1f}, \"start_to_first_step_ms\": {:.0f}, "
      "\"images_per_s\": {:.0f}, \"tflops\": {:.2f}, \"mfu\": {}, {}, \"peak_mib\": {:.1f}, "
      "\"requests_per_step\": {:.3f}, \"graph_nodes\": {}, \"host_us\": {:.1f}}}\n",
      settings.workload, training.workload.batch, settings.optimizer, settings.bf16, nodes > 0,
      json_quoted(note), 1e3 * whole, 1e3 * pass_time, 1e3 * update_time,
      update_time / (pass_time + update_time), 1e3 * first, 1e3 * started,
      static_cast<double>(training.workload.batch) / whole, 1e-12 * rate,
      promised > 0 ? fmt::format("{:.4f}", rate / promised) : "null",
      floor_json(training, ceilings, whole), static_cast<double>(memory.peak) / (1 << 20),
      static_cast<double>(memory.requests - requests) / in_a_row, nodes, 1e6 * host);
  fmt::print("{}", text);
  if (!settings.json.empty()) std::ofstream(settings.json) << text;
  return 0;
}

int run(const Settings& settings) {
  set_num_threads(settings.threads);
  if (!settings.trace.empty()) {
    // Read by the emulated backend when it is opened. Each tensor is an allocation of its own, so
    // that its bytes can be told from others'.
    setenv("SING_EMULATOR_TRACE", settings.trace.c_str(), 1);
    setenv("SING_CUDA_CACHE", "off", 1);
  }
  const Device device = bench::device_named(settings.device);
  if (!settings.trace.empty()) return run_traced(settings, device);
  if (device.type != DeviceType::cpu) return run_on_device(settings, device);
  Training training(settings, device);
  Instant forward, backward, update;
  int64_t& step = training.step;
  const auto one_step = [&] {
    const Instant a = Instant::now();
    const Tensor loss = training.forward();
    const Instant b = Instant::now();
    loss.backward();
    const Instant c = Instant::now();
    training.optimizer->step({.step = step++});
    training.optimizer->zero_grad();
    const Instant d = Instant::now();
    forward += b - a;
    backward += c - b;
    update += d - c;
  };
  const Instant before_first = Instant::now();
  one_step();
  const double first = (Instant::now() - before_first).wall, started = bench::seconds_since_start();
  for (int i = 0; i < 4; ++i) one_step();

  forward = backward = update = {};
  const int64_t requests = backend::runtime({}).memory().requests, faults = bench::page_faults();
  const int64_t first_counted = step;
  const Instant start = Instant::now();
  do one_step();
  while ((Instant::now() - start).wall < settings.seconds || step < first_counted + 5);
  const double steps = static_cast<double>(step - first_counted);
  const double faulted = static_cast<double>(bench::page_faults() - faults);
  const double requested = static_cast<double>(backend::runtime({}).memory().requests - requests);

  Instant total = forward;
  total += backward;
  total += update;
  const double flops = training.flops();
  const bench::Workload& workload = training.workload;
  fmt::print("{}, batch {}, {}, {} parameters, {}{}\n", workload.name, workload.batch,
             settings.optimizer, training.model->parameter_count(),
             backend::runtime({}).description(), settings.bf16 ? ", bf16" : "");
  fmt::print("{:<22}{:>10}{:>10}\n", "ms per step", "wall", "cpu");
  const auto line = [&](const char* name, const Instant& t) {
    fmt::print("  {:<20}{:>10.3f}{:>10.3f}\n", name, 1e3 * t.wall / steps, 1e3 * t.cpu / steps);
  };
  line("forward", forward);
  line("backward", backward);
  line("optimizer", update);
  line("whole step", total);
  fmt::print(
      "{:.1f} images/s, {:.1f} GFLOP/s of wall time, {:.1f} per core used; first step {:.0f} ms\n",
      static_cast<double>(workload.batch) * steps / total.wall, flops * steps / total.wall * 1e-9,
      flops * steps / total.cpu * 1e-9, 1e3 * first);
  fmt::print(
      "per step: {:.2f} page faults, {:.2f} requests for tensor memory; peak {:.1f} MiB ({} "
      "steps)\n",
      faulted / steps, requested / steps,
      static_cast<double>(backend::runtime({}).memory().peak) / (1 << 20), steps);
  const bench::Ceilings one = bench::measure_ceilings();
  const int used = std::min(num_threads(), static_cast<int>(std::thread::hardware_concurrency()));
  const bench::Rates ceilings{used * std::max(one.flops, settings.bf16 ? bench::bf16_ceiling() : 0),
                              used * one.bytes};
  // Of a processor that other programs do not use; ceilings are taken in processor time, too.
  const double seconds = total.cpu / steps / used;
  fmt::print(
      "floor {:.2f} ms, floor fraction {:.3f}, {:.3f} of the ceiling of products ({:.0f} GFLOP/s "
      "in "
      "registers, copy {:.1f} GB/s, {} threads); optimizer {:.1f} % of the step; {:.0f} ms from "
      "the "
      "start of the program to the end of the first step\n",
      1e3 * training.floor.seconds(ceilings), training.floor.seconds(ceilings) / seconds,
      flops / seconds / ceilings.flops, ceilings.flops * 1e-9, ceilings.bytes * 1e-9, used,
      100 * update.wall / total.wall, 1e3 * started);
  if (!settings.json.empty())
    std::ofstream(settings.json) << fmt::format(
        "{{\"workload\": \"{}\", \"batch\": {}, \"optimizer\": \"{}\", \"bf16\": {}, \"threads\": "
        "{}, "
        "\"step_ms\": {:.4f}, \"optimizer_share\": {:.4f}, \"start_to_first_step_ms\": {:.0f}, "
        "{}}}\n",
        settings.workload, workload.batch, settings.optimizer, settings.bf16, used, 1e3 * seconds,
        update.wall / total.wall, 1e3 * started, floor_json(training, ceilings, seconds));
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(parse(argc, argv));
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_step: %s\n", error.what());
  return 2;
}
