// A whole training step, cut into its parts, with what it asks of the system.
//   bench_step [quickstart|vit_s] [--device cuda] [--batch N] [--threads N] [--seconds S]
//              [--optimizer sing|adamw] [--bf16] [--graph] [--json FILE]
// On a GPU the parts are times of the device; --graph replays whole steps.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

struct Settings {
  std::string workload = "quickstart", optimizer = "sing", device = "cpu", json;
  int64_t batch = 0;  ///< 0: of the workload
  int threads = num_threads();
  double seconds = 5;
  bool bf16 = false, graph = false;
};

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
    else if (word == "--graph")
      s.graph = true;
    else if (word == "--bf16")
      s.bf16 = true;
    else if (word.starts_with("-"))
      throw std::invalid_argument("unknown flag " + word);
    else
      s.workload = word;
  }
  return s;
}

/// Wall time, and processor time of all threads.
struct Instant {
  double wall = 0, cpu = 0;
  static Instant now() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return {std::chrono::duration<double>(since).count(),
            static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec)};
  }
  Instant operator-(const Instant& o) const { return {wall - o.wall, cpu - o.cpu}; }
  Instant& operator+=(const Instant& o) {
    wall += o.wall;
    cpu += o.cpu;
    return *this;
  }
};

int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// A network with its optimizer and one batch, on a device.
struct Training {
  Training(const Settings& settings, Device on)
      : device(on), workload(bench::workload(settings.workload)), bf16(settings.bf16) {
    if (settings.batch > 0) workload.batch = settings.batch;
    model = workload.make_model();
    model->initialize(0);
    if (device.type != DeviceType::cpu) model->to(device);
    optimizer.emplace(bench::optimizer_config(settings.optimizer), model->parameters());
    if (bf16) model->set_precision(DType::bf16);
    const Shape images{workload.batch, 1, workload.image, workload.image};
    inputs = bench::random_on(device, images, 1);
    targets = bench::random_on(device, images, 2);
  }
  Tensor forward() {
    const nn::ForwardContext context(0, static_cast<uint64_t>(step));
    const autocast::Guard mixed(bf16 ? std::optional(DType::bf16) : std::nullopt);
    return ops::mse_loss(model->forward(inputs), targets);
  }
  double flops() const { return 6.0 * static_cast<double>(model->forward_macs() * workload.batch); }

  Device device;
  bench::Workload workload;
  bool bf16;
  std::unique_ptr<nn::Model> model;
  std::optional<optim::Optimizer> optimizer;
  Tensor inputs, targets;
  int64_t step = 0;
};

int run_on_device(const Settings& settings, Device device) {
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
  const double first = (Instant::now() - before_first).wall;
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
  const std::string text = fmt::format(
      "{{\"workload\": \"{}\", \"batch\": {}, \"optimizer\": \"{}\", \"bf16\": {}, \"graph\": {}, "
      "\"not_a_graph\": {}, \"step_ms\": {:.4f}, \"pass_ms\": {:.4f}, \"optimizer_ms\": "
      "{:.4f}, "
      "\"first_step_ms\": {:.1f}, \"images_per_s\": {:.0f}, \"tflops\": {:.2f}, \"peak_mib\": "
      "{:.1f}, "
      "\"requests_per_step\": {:.3f}, \"graph_nodes\": {}, \"host_us\": {:.1f}}}\n",
      settings.workload, training.workload.batch, settings.optimizer, settings.bf16,
      graph != nullptr, json_quoted(note), 1e3 * whole, 1e3 * median(pass_times),
      1e3 * median(update_times), 1e3 * first, static_cast<double>(training.workload.batch) / whole,
      training.flops() / whole * 1e-12, static_cast<double>(runtime.memory().peak) / (1 << 20),
      static_cast<double>(runtime.memory().requests - requests) / in_a_row,
      graph ? graph->nodes() : 0, 1e6 * host);
  fmt::print("{}", text);
  if (!settings.json.empty()) std::ofstream(settings.json) << text;
  return 0;
}

int run(const Settings& settings) {
  set_num_threads(settings.threads);
  const Device device = bench::device_named(settings.device);
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
  const double first = (Instant::now() - before_first).wall;
  for (int i = 0; i < 4; ++i) one_step();

  forward = backward = update = {};
  const int64_t requests = backend::runtime({}).memory().requests, faults = page_faults();
  const int64_t first_counted = step;
  const Instant start = Instant::now();
  do one_step();
  while ((Instant::now() - start).wall < settings.seconds || step < first_counted + 5);
  const double steps = static_cast<double>(step - first_counted);
  const double faulted = static_cast<double>(page_faults() - faults);
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
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(parse(argc, argv));
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_step: %s\n", error.what());
  return 2;
}
