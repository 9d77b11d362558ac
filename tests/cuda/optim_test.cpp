// The optimizer on the CUDA backend against the one on the CPU: the same gradients, f32, every
// registered host alone and behind SING, and the chains of transforms.
#include "sing/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "sing/backend/runtime.h"
#include "sing/config/diagnostic.h"
#include "support/optim_problem.h"
#include "support/optim_state.h"

namespace sing::optim {
namespace {

using testing::accepted;
using testing::optimizer_config;
using testing::OptimProblem;
using testing::ParameterList;
using testing::set_gradient;
using testing::Snapshot;
using testing::snapshot;

constexpr Device kCuda{DeviceType::cuda, 0};
const RunLength kRun{.total_steps = 100};

// Sums over tensors are made in another order, in double: a scale may round to the next f32. Some
// of the rules pass such a unit on to each of 20 steps; none makes it grow.
constexpr double kRounding = 20 * 2 * 1.2e-7;
// Five products in f32 with other orders of sums, each of which triples small singular values.
constexpr double kProducts = 20 * 0.05 * 1e-4;

struct Sample {
  std::string name, yaml;
  /// No norm or sum stands between the gradient and the values: each element is computed alone, by
  /// the same operations.
  bool exact = false;
  double tolerance = kRounding;
  friend void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.yaml; }
};

/// A host that was added to the program alone.
constexpr const char* kCpuOnly = "of_the_program_alone";
class CpuOnly final : public HostOptimizer {
 public:
  explicit CpuOnly(const HostOptions& options) : options_(options) {}
  const HostOptions& common() const override { return options_; }
  std::vector<SlotSpec> slots() const override { return {}; }
  void update(const UpdateRange&) const override {}

 private:
  HostOptions options_;
};
[[maybe_unused]] const bool g_registered = host_kind().add<HostOptions>(
    kCpuOnly, "a test", [](const HostOptions& o) { return std::make_unique<CpuOnly>(o); });

std::vector<Sample> samples() {
  std::vector<Sample> all{
      {"full",
       "transforms: [sing]\n"
       "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
       "lookahead: {every: 5, alpha: 0.5}\n"
       "ema: {decay: 0.9, warmup: true}\n"
       "schedule: {name: cosine, warmup: 10%}"},
      {"clip_global_norm",
       "transforms: [clip_global_norm]\nhost: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, "
       "weight_decay: 0.1}\nswa: {start: 4st, every: 3st}"},
      {"clip_tensor_norm",
       "transforms: [centralize, {name: clip_tensor_norm, max_norm: 0.1}]\n"
       "host: {name: adam, lr: 0.1, amsgrad: true, decay_last: true, decoupled: true}"},
      {"clip_value",
       "transforms: [{name: clip_value, max_value: 0.1}, {name: sing, scope: tensor}]\n"
       "host: {name: adam, lr: 0.1, softplus_beta: 20, amsgrad: true}"},
      {"clip_value_last",
       "transforms: [centralize, {name: clip_value, max_value: 0.1}]\nhost: {name: sgd, lr: 0.1}"},
      {"agc",
       "transforms: [{name: agc, clip_factor: 0.1}, clip_global_norm]\nhost: {name: adam, lr: "
       "0.1}"},
      {"centred_agc", "transforms: [sing, agc]\nhost: {name: sgd, lr: 0.1}"},
      {"adanorm", "transforms: [centralize, adanorm]\nhost: {name: adam, lr: 0.1}"},
      {"two_scopes",
       "transforms: [agc, {name: normalize}, {name: centralize, scope: tensor}]\n"
       "host: {name: adam, lr: 0.1}"},
      {"groups",
       "transforms: [sing]\nhost: {name: adamw, lr: 0.1}\n"
       "groups: [{match: {ndim: 1}, host: {name: lamb, lr: 0.01}}, "
       "{match: {name: '2'}, lr_scale: 0.5}]"}};
  all.push_back({"muon_plain", "host: {name: muon, lr: 0.05, nesterov: false, scale: match_rms}",
                 false, kProducts});
  all.push_back({"adafactor_average",
                 "transforms: [adanorm]\nhost: {name: adafactor, relative_step: false, lr: 0.05, "
                 "beta1: 0.9, softplus_beta: 50}"});
  static const std::set<std::string> kMeasuring = {"lamb",     "lars",      "ngd",
                                                   "adamnorm", "adafactor", "muon"};
  for (const std::string& host : host_kind().names()) {
    if (host == kCpuOnly) continue;
    const double tolerance = host == "muon" ? kProducts : kRounding;
    const std::string start = "host: {name: " + host + ", lr: 0.05";
    all.push_back({host, start + ", weight_decay: 0.01}", !kMeasuring.contains(host), tolerance});
    std::string behind = "transforms: [sing]\n" + start + "}";
    const std::string more = "\nlookahead: {every: 3, alpha: 0.5}\nschedule: cosine";
    if (accepted(behind + more)) behind += more;
    all.push_back({"sing_" + host, behind, false, tolerance});
  }
  return all;
}

/// The problem on the device.
struct OnCuda : OptimProblem {
  OnCuda() : OptimProblem(DType::f32) {
    for (size_t k = 0; k < kTensors; ++k) {
      parameters[k].value = parameters[k].value.to(kCuda);
      parameters[k].working = parameters[k].value;
    }
  }
};

/// Gradients of a step at the values of the CPU, for both.
void load_same(const OptimProblem& cpu, Optimizer& on_cpu, Optimizer& on_cuda, int step) {
  cpu.load_gradients(on_cpu.table(), step);
  on_cuda.table().zero_grad();
  for (size_t i = 0; i < on_cuda.table().size(); ++i)
    if (on_cpu.table().present(i))
      set_gradient(on_cuda.table(), i, on_cpu.table().gradient(i).to_vector());
}

void expect_close(const std::vector<std::vector<double>>& got,
                  const std::vector<std::vector<double>>& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t k = 0; k < got.size(); ++k)
    for (size_t i = 0; i < got[k].size(); ++i)
      EXPECT_LE(std::abs(got[k][i] - wanted[k][i]), tolerance * (1 + std::abs(wanted[k][i])))
          << "tensor " << k << ", element " << i << ": " << got[k][i] << " and " << wanted[k][i];
}

class CudaHosts : public ::testing::TestWithParam<Sample> {
 protected:
  static OptimizerConfig config(const std::string& more = "") {
    return optimizer_config(GetParam().yaml + "\n" + more);
  }
};
INSTANTIATE_TEST_SUITE_P(, CudaHosts, ::testing::ValuesIn(samples()),
                         [](const auto& sample) { return sample.param.name; });

TEST_P(CudaHosts, MakesTheStepsOfTheCpu) {
  OptimProblem cpu(DType::f32);
  OnCuda cuda;
  Optimizer a(config(), cpu.parameters.pointers(), kRun);
  Optimizer b(config(), cuda.parameters.pointers(), kRun);
  for (int step = 1; step <= 20; ++step) {
    load_same(cpu, a, b, step);
    EXPECT_EQ(a.step({.step = step - 1}), StepStatus::applied);
    EXPECT_EQ(b.step({.step = step - 1}), StepStatus::applied);
    EXPECT_NEAR(b.statistics().global_norm, a.statistics().global_norm,
                1e-13 * a.statistics().global_norm);
    EXPECT_EQ(b.statistics().tensors, a.statistics().tensors);
  }
  expect_close(cuda.parameters.values(), cpu.parameters.values(),
               GetParam().exact ? 0 : GetParam().tolerance);
  for (size_t i = 0; i < a.table().size(); ++i) EXPECT_EQ(b.steps(i), a.steps(i));
  if (a.has_averages() && a.averages_ready()) {
    a.use_averages(true);
    b.use_averages(true);
    expect_close(cuda.parameters.values(), cpu.parameters.values(), GetParam().tolerance);
    a.use_averages(false);
    b.use_averages(false);
    expect_close(cuda.parameters.values(), cpu.parameters.values(),
                 GetParam().exact ? 0 : GetParam().tolerance);
  }
}

TEST_P(CudaHosts, ResumesBitwiseAlsoFromAStateOfTheCpu) {
  OnCuda whole, first, second;
  Optimizer a(config(), whole.parameters.pointers(), kRun);
  whole.run(a, 1, 13);
  Optimizer b(config(), first.parameters.pointers(), kRun);
  first.run(b, 1, 8);
  Snapshot saved = snapshot(b);
  for (size_t k = 0; k < OptimProblem::kTensors; ++k)
    second.parameters[k].value.copy_from(first.parameters[k].value);
  Optimizer c(config(), second.parameters.pointers(), kRun);
  saved.restoring = true;
  c.visit_state(saved);
  second.run(c, 9, 13);
  EXPECT_EQ(second.parameters.values(), whole.parameters.values());
  EXPECT_EQ(snapshot(c).content, snapshot(a).content);

  OptimProblem cpu(DType::f32);  // names and shapes are those of the CPU
  Optimizer d(config(), cpu.parameters.pointers(), kRun);
  d.visit_state(saved);
  EXPECT_EQ(snapshot(d).content, saved.content);
}

TEST_P(CudaHosts, NothingChangesWhenAGradientIsNotFinite) {
  OnCuda problem, twin;
  Optimizer optimizer(config(), problem.parameters.pointers(), kRun);
  Optimizer other(config(), twin.parameters.pointers(), kRun);
  problem.run(optimizer, 1, 4);
  twin.run(other, 1, 4);
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    problem.load_gradients(optimizer.table(), 5);
    std::vector<double> g = optimizer.table().gradient(3).to_vector();
    g.back() = bad;
    set_gradient(optimizer.table(), 3, g);
    EXPECT_EQ(optimizer.step({.step = 4}), StepStatus::nonfinite);
    EXPECT_TRUE(optimizer.statistics().found_nonfinite);
    EXPECT_EQ(optimizer.statistics().first_nonfinite, 3);
    EXPECT_EQ(optimizer.left_out(), 1);
    EXPECT_EQ(problem.parameters.values(), twin.parameters.values());
    EXPECT_EQ(snapshot(optimizer).content, snapshot(other).content);
  }
  problem.run(optimizer, 5, 7);
  twin.run(other, 5, 7);
  EXPECT_EQ(problem.parameters.values(), twin.parameters.values());
}

TEST_P(CudaHosts, StepsBehindAnUnfinishedOneAreLeftOutWithIt) {
  OnCuda problem, twin;
  Optimizer optimizer(config(), problem.parameters.pointers(), kRun);
  Optimizer other(config(), twin.parameters.pointers(), kRun);
  twin.run(other, 1, 5);
  for (int step = 1; step <= 8; ++step) {
    problem.load_gradients(optimizer.table(), step);
    if (step == 6) set_gradient(optimizer.table(), 5, {std::numeric_limits<double>::quiet_NaN()});
    optimizer.prepare_step({.step = step - 1});
    optimizer.launch_step();
  }
  EXPECT_EQ(optimizer.finish_step(), StepStatus::nonfinite);
  EXPECT_EQ(optimizer.left_out(), 3);
  EXPECT_EQ(optimizer.statistics().first_nonfinite, 5);
  EXPECT_EQ(optimizer.finish_step(), StepStatus::applied);
  EXPECT_EQ(problem.parameters.values(), twin.parameters.values());
  EXPECT_EQ(snapshot(optimizer).content, snapshot(other).content);
}

/// Steps as a training run makes them: captured when their launches change, else replayed.
struct Replaying {
  explicit Replaying(Optimizer& o) : optimizer(o) {}
  void step(int number) {
    optimizer.prepare_step({.step = number - 1});
    if (!replay || signature != optimizer.launch_signature()) {
      signature = optimizer.launch_signature();
      replay = backend::runtime(kCuda).capture([&] { optimizer.launch_step(); }, nullptr);
    }
    replay->launch();
  }
  Optimizer& optimizer;
  std::unique_ptr<backend::Replay> replay;
  uint64_t signature = 0;
};

// The seventh step lacks a gradient; a bad one comes behind the ninth, with more queued behind it.
TEST_P(CudaHosts, ReplaysGiveTheSameBits) {
  OnCuda eager, captured;
  Optimizer a(config(), eager.parameters.pointers(), kRun);
  auto b = std::make_unique<Optimizer>(config(), captured.parameters.pointers(), kRun);
  auto replaying = std::make_unique<Replaying>(*b);
  const auto both = [&](int first, int last, int bad) {
    for (int step = first; step <= last; ++step) {
      load_same(eager, a, *b, step);
      if (step == bad)
        for (Optimizer* o : {&a, b.get()})
          set_gradient(o->table(), 5, {std::numeric_limits<double>::infinity()});
      a.prepare_step({.step = step - 1});
      a.launch_step();
      replaying->step(step);
    }
    EXPECT_EQ(a.finish_step(), bad == 0 ? StepStatus::applied : StepStatus::nonfinite);
    EXPECT_EQ(b->finish_step(), bad == 0 ? StepStatus::applied : StepStatus::nonfinite);
    EXPECT_EQ(b->left_out(), bad == 0 ? 0 : last - bad + 1);
    EXPECT_EQ(captured.parameters.values(), eager.parameters.values()) << last;
    EXPECT_EQ(snapshot(*b).content, snapshot(a).content) << last;
  };
  both(1, 9, 0);
  const auto before = eager.parameters.values();
  const auto state = snapshot(a).content;
  both(10, 12, 10);
  EXPECT_EQ(eager.parameters.values(), before);
  EXPECT_EQ(snapshot(a).content, state);
  both(10, 12, 0);
  // Resumed by another optimizer, whose graph is its own.
  Snapshot saved = snapshot(*b);
  saved.restoring = true;
  replaying.reset();
  b = std::make_unique<Optimizer>(config(), captured.parameters.pointers(), kRun);
  b->visit_state(saved);
  replaying = std::make_unique<Replaying>(*b);
  both(13, 16, 0);
}

TEST_P(CudaHosts, FusedStagesAreThePlainOnes) {
  OnCuda fused, plain;
  Optimizer a(config(), fused.parameters.pointers(), kRun);
  Optimizer b(config("fused: false"), plain.parameters.pointers(), kRun);
  for (int step = 1; step <= 9; ++step) {
    load_same(fused, a, b, step);
    a.step({.step = step - 1});
    b.step({.step = step - 1});
  }
  EXPECT_EQ(fused.parameters.values(), plain.parameters.values());
}

/// Tensors that end in the middle of chunks, pieces and packs, rows longer than a piece, and a
/// value that starts off the grid of packs.
struct Large {
  ParameterList parameters;
  explicit Large(Device device) {
    const Shape shapes[] = {{3, 20001}, {40000}, {37, 701}, {9, 4, 3, 3}, {5, 3000}, {1500, 7}};
    int k = 0;
    for (const Shape& shape : shapes) {
      std::vector<float> values(static_cast<size_t>(shape.numel()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = number(k, 0, i);
      Tensor value = Tensor::from(values, shape).to(device);
      if (k == 3) value = value.contiguous(MemoryFormat::channels_last);
      if (k == 4) {
        Tensor whole = Tensor::zeros({shape.numel() + 1}, {.device = device});
        Tensor part = whole.narrow(0, 1, shape.numel()).view(shape);
        part.copy_from(value);
        value = part;
      }
      parameters.add("p" + std::to_string(k++), value);
    }
  }
  static float number(int k, int step, size_t i) {
    return static_cast<float>(
        OptimProblem::noise(static_cast<size_t>(k), step, static_cast<int64_t>(i)));
  }
  void step(Optimizer& optimizer, int step) const {
    optimizer.zero_grad();
    for (size_t k = 0; k < parameters.size(); ++k) {
      Tensor gradient = optimizer.table().gradient(k);
      std::vector<float> values(static_cast<size_t>(gradient.numel()));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = number(static_cast<int>(k), step, i) + static_cast<float>(k);
      gradient.copy_from(Tensor::from(values, gradient.shape()));
    }
    EXPECT_EQ(optimizer.step({.step = step - 1}), StepStatus::applied);
  }
};

TEST(CudaOptimizer, ServesTensorsOfManyChunks) {
  for (const char* yaml :
       {"transforms: [sing]\nhost: {name: adamw, lr: 0.1, softplus_beta: 50}",
        "transforms: [{name: sing, scope: tensor}, clip_global_norm]\nhost: {name: sgd, lr: 0.1}",
        "transforms: [{name: agc, clip_factor: 0.1}]\nhost: {name: lamb, lr: 0.01}",
        "host: {name: adam, lr: 0.1}", "host: {name: ngd, lr: 0.1, momentum: 0.9}",
        "host: {name: lars, lr: 0.1, weight_decay: 0.1}", "host: {name: adamnorm, lr: 0.1}",
        "host: {name: adafactor, lr: 0.1, relative_step: false}"}) {
    Large cpu(Device{}), cuda(kCuda);
    Optimizer a(optimizer_config(yaml), cpu.parameters.pointers(), kRun);
    Optimizer b(optimizer_config(yaml), cuda.parameters.pointers(), kRun);
    for (int step = 1; step <= 2; ++step) {
      cpu.step(a, step);
      cuda.step(b, step);
    }
    SCOPED_TRACE(yaml);
    expect_close(cuda.parameters.values(), cpu.parameters.values(), kRounding);
    // Rows are cut elsewhere, and what is squared is a difference to the mean of a cut, in f32.
    for (size_t i = 0; i < a.table().size(); ++i)
      EXPECT_NEAR(b.statistics().norms[i], a.statistics().norms[i], 1e-9 * a.statistics().norms[i]);
  }
}

TEST(CudaOptimizer, WorkingCopiesFollow) {
  OnCuda problem;
  for (size_t k = 0; k < OptimProblem::kTensors; ++k)
    problem.parameters[k].working = problem.parameters[k].value.to(DType::bf16);
  Optimizer optimizer(
      optimizer_config("transforms: [sing]\nhost: {name: adamw, lr: 0.1}\nlookahead: {every: 2}"),
      problem.parameters.pointers(), kRun);
  problem.run(optimizer, 1, 4);
  for (size_t k = 0; k < OptimProblem::kTensors; ++k)
    EXPECT_EQ(problem.parameters[k].working.to_vector(),
              problem.parameters[k].value.to(DType::bf16).to_vector());
}

TEST(CudaOptimizer, LaunchesStayTheSameOnceTheRuleDoes) {
  OnCuda problem;
  Optimizer optimizer(optimizer_config("host: {name: radam, lr: 0.1}"),
                      problem.parameters.pointers(), kRun);
  std::vector<uint64_t> signatures;
  for (int step = 1; step <= 12; ++step) {
    problem.run(optimizer, step, step);
    signatures.push_back(optimizer.launch_signature());
  }
  // RAdam divides by its second moment from the sixth step on; one tensor misses the seventh.
  EXPECT_EQ(signatures[0], signatures[4]);
  EXPECT_NE(signatures[4], signatures[5]);
  EXPECT_EQ(signatures[8], signatures[11]);
}

/// Kernels and copies of one step.
int64_t nodes_of_a_step(const std::string& yaml, ParameterList& parameters) {
  Optimizer optimizer(optimizer_config(yaml), parameters.pointers(), kRun);
  for (size_t i = 0; i < optimizer.table().size(); ++i) {
    optimizer.table().gradient(i).fill(1);
    optimizer.table().set_present(i, true);
  }
  optimizer.step({.step = 0});
  optimizer.prepare_step({.step = 1});
  const auto replay = backend::runtime(kCuda).capture([&] { optimizer.launch_step(); }, nullptr);
  replay->launch();
  EXPECT_EQ(optimizer.finish_step(), StepStatus::applied);
  return replay->nodes();
}

// benchmarks/README.md has the numbers. Behind the three of the transforms: one for the update, one
// for each pass with sums; matrices and vectors apart in adafactor and muon.
TEST(CudaOptimizer, AStepHasFewLaunchesHoweverManyTensors) {
  for (const std::string& host : host_kind().names()) {
    if (host == kCpuOnly) continue;
    int64_t counts[2];
    for (const int tensors : {2, 20}) {
      ParameterList parameters;
      for (int k = 0; k < tensors; ++k)
        parameters.add("p" + std::to_string(k),
                       Tensor::full(k % 2 == 0 ? Shape{6, 4} : Shape{5}, 1, {.device = kCuda}));
      counts[tensors == 20] = nodes_of_a_step("host: {name: " + host + ", lr: 0.1}", parameters);
    }
    EXPECT_EQ(counts[0], counts[1]) << host;
    const int64_t most = host == "muon"                                          ? 3 + 3 + 1 + 5 * 5
                         : host == "adafactor"                                   ? 3 + 5 + 2
                         : host == "lamb"                                        ? 3 + 3
                         : host == "lars" || host == "ngd" || host == "adamnorm" ? 3 + 2
                                                                                 : 3 + 1;
    EXPECT_LE(counts[1], most) << host;
    RecordProperty(host, static_cast<int>(counts[1]));
  }
}

TEST(CudaOptimizer, RefusesWhatIsNotOnOneDevice) {
  OptimProblem mixed(DType::f32);
  mixed.parameters[1].value = mixed.parameters[1].value.to(kCuda);
  mixed.parameters[1].working = mixed.parameters[1].value;
  EXPECT_THROW(Optimizer(optimizer_config("host: sgd"), mixed.parameters.pointers(), kRun),
               DeviceError);
  OptimProblem wide(DType::f64);
  for (size_t k = 0; k < OptimProblem::kTensors; ++k)
    wide.parameters[k].working = wide.parameters[k].value = wide.parameters[k].value.to(kCuda);
  EXPECT_THROW(Optimizer(optimizer_config("host: sgd"), wide.parameters.pointers(), kRun),
               NotImplementedError);
}

TEST(CudaOptimizer, RefusesHostsTheBackendDoesNotHave) {
  OnCuda problem;
  EXPECT_THROW(Optimizer(optimizer_config(std::string("host: ") + kCpuOnly),
                         problem.parameters.pointers(), kRun),
               NotImplementedError);
}

}  // namespace
}  // namespace sing::optim
