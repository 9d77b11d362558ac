// The optimizer step alone, at the sizes of real models, beside our AdamW and a plain copy.
//   bench_optimizer [--device cuda] [--threads N] [--seconds S] [--sizes resnet18,vit_s,bert_base]
//                   [--json FILE] [ROW ...]
//   bench_optimizer --shapes SIZE        the shapes of its tensors, one a line
// Each row and AdamW take turns step by step; a ratio is the median over such pairs, in processor
// time, or on a GPU in time of the device. optimizer_peers.py reads the table: one line per row,
// fields apart by blanks.
#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>

#include "sing/config/bind.h"
#include "sing/config/yaml.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/models/resnet.h"
#include "support/ceilings.h"
#include "support/device.h"
#include "support/workloads.h"

namespace {

using namespace sing;

struct Row {
  const char* name;
  const char* yaml;
  /// Bytes of f32 the method has to move per parameter: gradient read, values and state read and
  /// written. LookAhead's copy is touched every fifth step. 0: not bound by memory.
  double bytes;
};

constexpr Row kRows[] = {
    {"adamw", "host: {name: adamw, weight_decay: 5e-2}", 28},
    {"sing+adamw", "transforms: [sing]\nhost: {name: adamw, lr: 5e-3, weight_decay: 5e-2}", 32},
    {"sing+adamw+softplus",
     "transforms: [sing]\nhost: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}",
     32},
    {"sing+adamw+softplus+lookahead",
     "transforms: [sing]\nhost: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
     "lookahead: {}",
     34.4},
    {"sgd", "host: {name: sgd, momentum: 0.9, weight_decay: 1e-4}", 20},
    {"sing+sgd",
     "transforms: [sing]\nhost: {name: sgd, lr: 0.1, momentum: 0.9}\nschedule: {name: cosine}", 24},
    {"adabelief", "host: {name: adabelief, weight_decay: 5e-2}", 28},
    {"adafactor", "host: {name: adafactor, relative_step: false, scale_parameter: false, lr: 1e-3}",
     20},
    {"lamb", "host: {name: lamb, max_grad_norm: null}", 44},
    {"muon", "host: {name: muon}", 0},
};

optim::OptimizerConfig config_of(const Row& row) {
  config::Problems problems;
  const std::optional<config::Value> tree = config::read_yaml(row.yaml, row.name, problems);
  problems.raise();
  return config::bind<optim::OptimizerConfig>(tree.value());
}

/// Parameters without a model around them.
struct Parameters {
  std::vector<std::unique_ptr<nn::Parameter>> owned;
  std::vector<nn::Parameter*> pointers;
  void add(const std::string& name, const Shape& shape, uint32_t tags) {
    auto p = std::make_unique<nn::Parameter>();
    p->name = name;
    p->tags = tags;
    p->value = p->working = Tensor::zeros(shape);
    nn::Init::normal(0.02).fill(p->value, {.seed = owned.size()});
    pointers.push_back(p.get());
    owned.push_back(std::move(p));
  }
};

/// BERT-base, uncased: 199 tensors, 109.5 M parameters.
Parameters bert_base() {
  Parameters p;
  const uint32_t embedding = static_cast<uint32_t>(nn::Tag::embedding);
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    p.add(name + ".weight", {out, in}, 0);
    p.add(name + ".bias", {out}, 0);
  };
  const auto norm = [&](const std::string& name) {
    p.add(name + ".weight", {768}, 0);
    p.add(name + ".bias", {768}, 0);
  };
  p.add("word", {30522, 768}, embedding);
  p.add("position", {512, 768}, embedding);
  p.add("type", {2, 768}, embedding);
  norm("embedding_norm");
  for (int i = 0; i < 12; ++i) {
    const std::string layer = "layer" + std::to_string(i) + ".";
    for (const char* part : {"query", "key", "value", "output"}) linear(layer + part, 768, 768);
    norm(layer + "attention_norm");
    linear(layer + "fc1", 3072, 768);
    linear(layer + "fc2", 768, 3072);
    norm(layer + "mlp_norm");
  }
  linear("pooler", 768, 768);
  return p;
}

Parameters of_model(nn::Model& model) {
  model.initialize(0);
  Parameters p;
  for (const nn::Parameter* parameter : model.parameters())
    p.add(parameter->name, parameter->value.shape(), parameter->tags);
  return p;
}

Parameters parameters_of(const std::string& size) {
  if (size == "bert_base") return bert_base();
  if (size == "vit_s") return of_model(*bench::workload("vit_s").make_model());
  nn::Resnet model(
      {}, {.channels = 3, .height = 32, .width = 32, .head = nn::Head::classifier, .outputs = 100});
  return of_model(model);
}

Parameters on_device(Parameters parameters, Device device) {
  if (device.type != DeviceType::cpu)
    for (nn::Parameter* p : parameters.pointers) p->value = p->working = p->value.to(device);
  return parameters;
}

class Stepper {
 public:
  Stepper(const Row& row, const std::string& size, Device device)
      : device_(device),
        parameters_(on_device(parameters_of(size), device)),
        optimizer_(config_of(row), parameters_.pointers, {.total_steps = 1000}) {
    for (size_t i = 0; i < optimizer_.table().size(); ++i) {
      Tensor gradient = optimizer_.table().gradient(i), values = Tensor::empty(gradient.shape());
      nn::Init::normal(1e-3).fill(values, {.seed = i});
      gradient.copy_from(values.to(device));
      optimizer_.table().set_present(i, true);
    }
  }
  /// Processor seconds of one step, or seconds of the device between its first and last work.
  double operator()() {
    if (device_.type != DeviceType::cpu) return step_on_device();
    const double before = bench::process_seconds();
    optimizer_.step({.step = step_++});
    return bench::process_seconds() - before;
  }
  double numel() const { return static_cast<double>(optimizer_.table().numel()); }

 private:
  /// As a training run does it: queued at first, then replayed from a graph where it can be.
  double step_on_device() {
    optimizer_.prepare_step({.step = step_++});
    std::function<void()> work = [this] { optimizer_.launch_step(); };
    if (step_ > 2) {
      if (!replay_ || signature_ != optimizer_.launch_signature()) {
        signature_ = optimizer_.launch_signature();
        replay_ = backend::runtime(device_).capture(work, nullptr);
      }
      work = [this] { replay_->launch(); };
    }
    const double seconds = bench::device_seconds(device_, work);
    optimizer_.finish_step();
    return seconds;
  }

  Device device_;
  Parameters parameters_;
  optim::Optimizer optimizer_;
  std::unique_ptr<backend::Replay> replay_;
  uint64_t signature_ = 0;
  int64_t step_ = 0;
};

int print_shapes(const std::string& size) {
  for (const nn::Parameter* p : parameters_of(size).pointers) {
    for (const int64_t dim : p->value.shape()) fmt::print("{} ", dim);
    fmt::print("\n");
  }
  return 0;
}

double median(std::vector<double> x) {
  std::ranges::sort(x);
  return x[x.size() / 2];
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) c == ',' ? parts.emplace_back() : (parts.back() += c, parts.back());
  return parts;
}

}  // namespace

int main(int argc, char** argv) try {
  int threads = 1;
  double seconds = 3;
  std::string device_name = "cpu", json_file, json;
  std::vector<std::string> sizes = {"resnet18", "vit_s", "bert_base"}, wanted;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      wanted.push_back(word);
      continue;
    }
    if (++i == argc) return fmt::print(stderr, "{} wants a value\n", word), 2;
    if (word == "--threads")
      threads = std::stoi(argv[i]);
    else if (word == "--seconds")
      seconds = std::stod(argv[i]);
    else if (word == "--sizes")
      sizes = split(argv[i]);
    else if (word == "--device")
      device_name = argv[i];
    else if (word == "--json")
      json_file = argv[i];
    else if (word == "--shapes")
      return print_shapes(argv[i]);
    else
      return fmt::print(stderr, "unknown option {}\n", word), 2;
  }
  set_num_threads(threads);
  const Device device = bench::device_named(device_name);
  const bool on_cpu = device.type == DeviceType::cpu;
  const double copy =
      on_cpu ? bench::measure_ceilings().bytes : bench::measure_ceilings(device, seconds == 0).copy;
  fmt::print("{}, copy {:.1f} GB/s{}\n\n",
             on_cpu ? fmt::format("{} thread(s)", threads) : backend::runtime(device).description(),
             copy * 1e-9, on_cpu ? " on one" : "");
  fmt::print("{:<10} {:<30} {:>9} {:>8} {:>8} {:>9} {:>9}\n", "size", "row", "ms", "B/param",
             "GB/s", "of copy", "of adamw");
  for (const std::string& size : sizes) {
    Stepper adamw(kRows[0], size, device);
    for (const Row& row : kRows) {
      if (!wanted.empty() && std::ranges::find(wanted, row.name) == wanted.end()) continue;
      Stepper stepper(row, size, device);
      for (int i = 0; i < 2; ++i) adamw(), stepper();  // first touch of pages; not counted
      std::vector<double> times, ratios;
      double used = 0;
      while (used < seconds || times.size() < (seconds > 0 ? 6 : 1)) {
        const double base = adamw();
        times.push_back(stepper());
        ratios.push_back(times.back() / base);
        used += base + times.back();
        if (used > 10 * seconds) break;
      }
      const double time = median(times), rate = row.bytes * stepper.numel() / time;
      const auto if_bound = [&](const char* format, double value) {
        return row.bytes > 0 ? fmt::format(fmt::runtime(format), value) : std::string("-");
      };
      fmt::print("{:<10} {:<30} {:>9.2f} {:>8} {:>8} {:>9} {:>9.2f}\n", size, row.name, 1e3 * time,
                 if_bound("{:.1f}", row.bytes), if_bound("{:.1f}", rate * 1e-9),
                 if_bound("{:.2f}", rate / copy), median(ratios));
      std::fflush(stdout);
      json += fmt::format(
          "{}\n  {{\"size\": \"{}\", \"row\": \"{}\", \"ms\": {:.5f}, \"bytes_per_parameter\": {}, "
          "\"of_copy\": {:.4f}, \"of_adamw\": {:.4f}}}",
          json.empty() ? "" : ",", size, row.name, 1e3 * time, row.bytes, rate / copy,
          median(ratios));
    }
  }
  if (!json_file.empty())
    std::ofstream(json_file) << fmt::format("{{\"copy_gb_per_s\": {:.1f}, \"rows\": [{}\n]}}\n",
                                            copy * 1e-9, json);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench_optimizer: {}\n", error.what());
  return 2;
}
