// Our half of side_by_side.py: a resident process that runs the same networks on the weights and
// batches PyTorch was given.
//   bench_side_by_side quickstart|vit_s|block|optimizer IN.safetensors OUT.safetensors [bf16]
//   [cuda]
// IN holds the parameters by name, `x`, and `y` (targets) or `grad` (of the block's output). After
// one step OUT holds `loss` or `output`, and the gradients (for `optimizer`: the new weights).
// Then each line "N" on stdin runs N steps and answers "<processor seconds> <wall seconds>"; the
// device has finished them by then. "losses N" runs N steps and answers with the loss of each.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "benchmarks/support/device.h"
#include "benchmarks/support/workloads.h"
#include "sing/autograd/autocast.h"
#include "sing/core/error.h"
#include "sing/nn/load.h"
#include "sing/nn/transformer_block.h"
#include "sing/ops/loss.h"
#include "sing/optim/param_table.h"
#include "sing/tensor/safetensors.h"

namespace {

using namespace sing;
using Tensors = std::map<std::string, Tensor>;

struct Task {
  std::shared_ptr<nn::Module> module;
  std::shared_ptr<optim::ParamTable> gradients;
  std::shared_ptr<optim::Optimizer> optimizer;
  std::function<Tensor()> forward_backward;  ///< what comes out of the forward pass
  std::function<void()> step;
  std::shared_ptr<Tensor> loss = std::make_shared<Tensor>();  ///< of the last step
};

Device g_device;

Tensor take(Tensors& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) throw DataError("no tensor '" + name + "' in the input");
  Tensor t = g_device.type == DeviceType::cpu ? it->second.clone() : it->second.to(g_device);
  tensors.erase(it);
  return t;
}

void prepare(Task& task, const Tensors& weights, bool bf16) {
  task.module->initialize(0);
  nn::load_parameters(*task.module, weights);
  if (g_device.type != DeviceType::cpu) task.module->to(g_device);
  if (bf16) task.module->set_precision(DType::bf16);
}

std::optional<DType> mixed(bool bf16) {
  return bf16 ? std::optional(DType::bf16) : std::nullopt;
}

/// A model with its loss and the whole SING recipe behind it.
Task model_task(const std::string& name, Tensors tensors, bool bf16) {
  Task task;
  const Tensor x = take(tensors, "x"), y = take(tensors, "y");
  std::shared_ptr<nn::Model> model = bench::workload(name).make_model();
  task.module = model;
  prepare(task, tensors, bf16);
  task.optimizer =
      std::make_shared<optim::Optimizer>(bench::optimizer_config("sing"), model->parameters());
  task.forward_backward = [=] {
    Tensor loss;
    {
      const autocast::Guard guard(mixed(bf16));
      loss = ops::mse_loss(model->forward(x), y);
    }
    loss.backward();
    return loss;
  };
  const std::function<void()> queue = [task] {
    task.optimizer->zero_grad();
    *task.loss = task.forward_backward();
    task.optimizer->launch_step();
  };
  // On a GPU as a training run does it: from the third step on a graph is replayed.
  task.step = [task, queue, step = int64_t{0},
               graph = std::shared_ptr<backend::Replay>()]() mutable {
    task.optimizer->prepare_step({.step = step});
    if (++step == 3 && g_device.type != DeviceType::cpu)
      graph = backend::runtime(g_device).capture(queue, nullptr);
    graph ? graph->launch() : queue();
  };
  return task;
}

/// One transformer block of ViT-S, forward and backward, the input's gradient included.
Task block_task(Tensors tensors, bool bf16) {
  Task task;
  Tensor x = take(tensors, "x");
  const Tensor grad = take(tensors, "grad");
  x.set_requires_grad().set_grad(zeros_like(x));
  auto block = std::make_shared<nn::TransformerBlock>(
      nn::TransformerBlockOptions{.dim = 384, .heads = 6, .hidden = 1536});
  task.module = block;
  prepare(task, tensors, bf16);
  task.gradients = std::make_shared<optim::ParamTable>(block->parameters());
  task.forward_backward = [=] {
    Tensor out;
    {
      const autocast::Guard guard(mixed(bf16));
      out = block->forward(autocast::input(x, autocast::Policy::lower));
    }
    out.backward(grad.to(out.dtype()));
    return out;
  };
  task.step = [task, x]() mutable {
    task.gradients->zero_grad();
    Tensor(x.grad()).fill(0);
    task.forward_backward();
  };
  return task;
}

/// The optimizer alone on parameters and gradients ("grad/<name>") of the ViT-S.
Task optimizer_task(Tensors tensors) {
  Task task;
  Tensors weights, gradients;
  for (const auto& [name, tensor] : tensors)
    (name.starts_with("grad/") ? gradients[name.substr(5)] : weights[name]) = tensor;
  task.module = bench::workload("vit_s").make_model();
  prepare(task, weights, false);
  task.optimizer = std::make_shared<optim::Optimizer>(bench::optimizer_config("sing"),
                                                      task.module->parameters());
  optim::ParamTable& table = task.optimizer->table();
  for (size_t i = 0; i < table.size(); ++i)
    table.gradient(i).copy_from(gradients.at(table.meta(i).name).to(g_device));
  task.step = [task, step = int64_t{0}]() mutable {
    task.optimizer->prepare_step({.step = step++});
    task.optimizer->launch_step();
  };
  return task;
}

Task make_task(const std::string& what, const Tensors& tensors, bool bf16) {
  if (what == "block") return block_task(tensors, bf16);
  if (what == "optimizer") return optimizer_task(tensors);
  return model_task(what, tensors, bf16);
}

/// What is compared before anything is timed.
Tensors first_results(const std::string& what, const Task& task) {
  Tensors out;
  if (what == "optimizer") {
    task.step();
    task.optimizer->finish_step();
    for (const nn::Parameter* p : std::as_const(*task.module).parameters())
      out[p->name] = p->value.to(Device{}).clone();
    return out;
  }
  if (task.optimizer) task.optimizer->zero_grad();
  const Tensor result = task.forward_backward();
  out[what == "block" ? "output" : "loss"] =
      result.detach().to(DType::f32).to(Device{}).contiguous();
  for (const nn::Parameter* p : std::as_const(*task.module).parameters())
    out[p->name] = p->grad().to(Device{}).clone();
  return out;
}

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int run(int argc, char** argv) {
  if (argc < 4) throw std::invalid_argument("wanted: TASK IN OUT [bf16]");
  const std::string what = argv[1];
  bool bf16 = false;
  for (int i = 4; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "bf16")
      bf16 = true;
    else
      g_device = bench::device_named(word);
  }
  const Task task = make_task(what, load_tensors(argv[2]), bf16);
  save_tensors(argv[3], first_results(what, task));
  std::puts("ready");
  std::fflush(stdout);
  backend::DeviceRuntime& runtime = backend::runtime(g_device);
  for (std::string line; std::getline(std::cin, line);) {
    if (line.starts_with("losses ")) {
      for (int n = std::stoi(line.substr(7)); n > 0; --n) {
        task.step();
        task.optimizer->finish_step();
        std::printf("%.9g ", task.loss->detach().to(DType::f32).to(Device{}).item());
      }
      std::printf("\n");
      std::fflush(stdout);
      continue;
    }
    const double cpu = processor_seconds();
    const auto wall = std::chrono::steady_clock::now();
    for (int n = std::stoi(line); n > 0; --n) task.step();
    if (task.optimizer) task.optimizer->finish_step();
    runtime.synchronize(runtime.stream(0));
    std::printf("%.9f %.9f\n", processor_seconds() - cpu,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(argc, argv);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_side_by_side: %s\n", error.what());
  return 2;
}
