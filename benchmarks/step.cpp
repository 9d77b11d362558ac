// A whole training step, cut into its parts, with what it asks of the system.
//   bench_step [quickstart|vit_s] [--threads N] [--seconds S] [--optimizer sing|adamw] [--bf16]
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include "benchmarks/support/workloads.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/context.h"
#include "sing/nn/init.h"
#include "sing/ops/loss.h"

namespace {

using namespace sing;

struct Settings {
  std::string workload = "quickstart", optimizer = "sing";
  int threads = num_threads();
  double seconds = 5;
  bool bf16 = false;
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

int run(const Settings& settings) {
  set_num_threads(settings.threads);
  const bench::Workload workload = bench::workload(settings.workload);
  const auto model = workload.make_model();
  model->initialize(0);
  optim::Optimizer optimizer(bench::optimizer_config(settings.optimizer), model->parameters());
  if (settings.bf16) model->set_precision(DType::bf16);
  const Shape images{workload.batch, 1, workload.image, workload.image};
  Tensor inputs = Tensor::empty(images), targets = Tensor::empty(images);
  nn::Init::uniform(1).fill(inputs, {.seed = 1});
  nn::Init::uniform(1).fill(targets, {.seed = 2});

  Instant forward, backward, update;
  int64_t step = 0;
  const auto one_step = [&] {
    const Instant a = Instant::now();
    Tensor loss;
    {
      const nn::ForwardContext context(0, static_cast<uint64_t>(step));
      const autocast::Guard mixed(settings.bf16 ? std::optional(DType::bf16) : std::nullopt);
      loss = ops::mse_loss(model->forward(inputs), targets);
    }
    const Instant b = Instant::now();
    loss.backward();
    const Instant c = Instant::now();
    optimizer.step({.step = step++});
    optimizer.zero_grad();
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
  const double flops = 6.0 * static_cast<double>(model->forward_macs() * workload.batch);
  fmt::print("{}, batch {}, {}, {} parameters, {}{}\n", workload.name, workload.batch,
             settings.optimizer, model->parameter_count(), backend::runtime({}).description(),
             settings.bf16 ? ", bf16" : "");
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
