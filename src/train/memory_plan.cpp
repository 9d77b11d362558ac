#include "sing/train/memory_plan.h"

#include <algorithm>

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/data/loader.h"
#include "sing/data/subset.h"
#include "sing/nn/context.h"

namespace sing::train {
namespace {

using backend::MemoryPurpose;

autocast::Guard mixed_precision(const Experiment& experiment) {
  return autocast::Guard(
      experiment.precision() == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
}

data::LoaderOptions loading(const Experiment& experiment, int64_t batch_size) {
  data::LoaderOptions options = data::loader_options(experiment.batches(), data::Split::train, 0);
  options.batch_size = batch_size;
  options.drop_last = false;
  return options;
}

void run_pass(Experiment& experiment, const Batch& batch) {
  const nn::ForwardContext context(0, 0);
  const backend::MemoryScope memory(MemoryPurpose::activations, "forward");
  Tensor loss;
  {
    const autocast::Guard mixed = mixed_precision(experiment);
    loss = experiment.loss().forward(experiment.model().forward_batch(batch), batch);
  }
  loss.backward();
}

struct Point {
  int64_t samples = 0, pass = 0, batches = 0;
};

/// What one pass over `samples` takes at its peak, and the batches a loader of that size holds.
Point measure(Experiment& experiment, int64_t samples) {
  backend::DeviceRuntime& runtime = backend::runtime({});
  const auto dataset = experiment.source().open(data::Split::train);
  Point point{.samples = std::min(samples, dataset->size())};
  const int64_t before = runtime.memory().in_use;
  data::Loader loader(dataset, loading(experiment, point.samples));
  Batch batch;
  loader.next(batch);
  const int64_t loaded = runtime.memory().in_use;
  point.batches = loaded - before;
  runtime.reset_peak();
  run_pass(experiment, batch);
  point.pass = runtime.memory().peak - loaded;
  return point;
}

/// Whether training with micro-batches of `batch_size` finds the memory it needs.
bool trains_with(Experiment& experiment, int64_t batch_size) {
  try {
    const auto optimizer = experiment.make_optimizer();
    data::Loader loader(experiment.source().open(data::Split::train),
                        loading(experiment, batch_size));
    Batch batch;
    loader.next(batch);
    run_pass(experiment, batch);
    const backend::MemoryScope memory(MemoryPurpose::optimizer);
    optimizer->step({.step = 0});
    return true;
  } catch (const OutOfMemoryError&) {
    return false;
  }
}

bool evaluates_with(Experiment& experiment, int64_t batch_size) {
  try {
    data::LoaderOptions options = loading(experiment, batch_size);
    options.shuffle = false;
    data::Loader loader(
        experiment.source().open(data::split_from_name(experiment.config().eval.split)), options);
    Batch batch;
    loader.next(batch);
    const autograd::NoGradGuard no_grad;
    const autocast::Guard mixed = mixed_precision(experiment);
    experiment.model().forward_batch(batch);
    return true;
  } catch (const OutOfMemoryError&) {
    return false;
  }
}

/// The largest divisor of `whole` below `size`; 0 when there is none.
int64_t divisor_below(int64_t whole, int64_t size) {
  for (int64_t d = std::min(size - 1, whole); d > 0; --d)
    if (whole % d == 0) return d;
  return 0;
}

/// The largest divisor of `whole` below it that `fits` says yes to. Each question costs a step, so
/// sizes far above what the plan allows are not asked.
template <class Fits>
int64_t largest_that_fits(int64_t whole, double planned, const Fits& fits) {
  constexpr double kPlanIsOffBy = 1.25;  // blocks are rounded up by as much
  const auto hopeless = static_cast<int64_t>(kPlanIsOffBy * std::min(planned, 1e12)) + 1;
  int64_t size = divisor_below(whole, std::min(whole, hopeless + 1));
  while (size > 0 && !fits(size)) size = divisor_below(whole, size);
  return size;
}

/// The batch size at which the plan meets the limit of the arena; huge when nothing grows.
double planned_batch(Experiment& experiment) {
  try {
    const MemoryPlan plan = plan_memory(experiment);
    const double fixed = plan.total(0);
    const double slope = plan.total(1) - fixed;
    return slope > 0
               ? std::max(0.0, (static_cast<double>(backend::cpu_memory_limit()) - fixed) / slope)
               : 1e12;
  } catch (const OutOfMemoryError&) {
    return 1;
  }
}

}  // namespace

double MemoryPlan::activations_of(int64_t batch_size) const {
  return activations + activations_per_sample * static_cast<double>(batch_size);
}
double MemoryPlan::batches_of(int64_t batch_size) const {
  return batches + batches_per_sample * static_cast<double>(batch_size);
}
double MemoryPlan::total(int64_t batch_size) const {
  return static_cast<double>(weights + gradients + optimizer) + activations_of(batch_size) +
         batches_of(batch_size);
}

MemoryPlan plan_memory(Experiment& experiment) {
  if (!experiment.model().initialized()) experiment.initialize_model();
  experiment.model().train(true);
  const auto optimizer = experiment.make_optimizer();
  const backend::MemoryTable table = backend::memory_table({});
  MemoryPlan plan{.weights = table[MemoryPurpose::weights],
                  .gradients = table[MemoryPurpose::gradients],
                  .optimizer = table[MemoryPurpose::optimizer]};
  const Point a = measure(experiment, 2), b = measure(experiment, 4);
  const auto line = [&](int64_t at_a, int64_t at_b, double& fixed, double& slope) {
    slope = b.samples > a.samples
                ? static_cast<double>(at_b - at_a) / static_cast<double>(b.samples - a.samples)
                : static_cast<double>(at_a) / static_cast<double>(a.samples);
    fixed = std::max(0.0, static_cast<double>(at_a) - slope * static_cast<double>(a.samples));
  };
  line(a.pass, b.pass, plan.activations, plan.activations_per_sample);
  line(a.batches, b.batches, plan.batches, plan.batches_per_sample);
  return plan;
}

std::string what_fits(Experiment& experiment) {
  nn::Model& model = experiment.model();
  model.train(true);
  const int64_t whole = experiment.batches().batch_size;
  const int64_t accumulate = experiment.config().train.accumulate;
  std::string text;
  const int64_t size = largest_that_fits(whole, planned_batch(experiment), [&](int64_t batch_size) {
    return trains_with(experiment, batch_size);
  });
  if (size > 0) {
    text = "fits: data.batch_size: " + std::to_string(size) +
           " with train.accumulate: " + std::to_string(accumulate * (whole / size));
    // A batch norm sees smaller batches.
    if (model.buffers().empty()) text += " (the same update)";
  }
  if (experiment.config().train.recompute == Recompute::none && model.set_recompute(true) &&
      trains_with(experiment, whole))
    text += std::string(text.empty() ? "fits: " : ", or ") + "train.recompute: all (slower)";
  return text.empty() ? "not even one sample at a time fits: choose a smaller model" : text;
}

std::string what_fits_in_evaluation(Experiment& experiment) {
  experiment.model().train(false);
  const auto& own = experiment.config().eval.batch_size;
  const int64_t whole = own ? *own : experiment.batches().batch_size;
  const int64_t size = largest_that_fits(
      whole, 1e12, [&](int64_t batch_size) { return evaluates_with(experiment, batch_size); });
  if (size == 0) return "not even one sample at a time fits: choose a smaller model";
  return "fits: eval.batch_size: " + std::to_string(size);
}

}  // namespace sing::train
