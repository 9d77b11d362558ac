#include <algorithm>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/data/loader.h"
#include "sing/train/memory_plan.h"
#include "train/feed.h"
#include "train/one_pass.h"

namespace sing::train {
namespace {

/// Whether training with micro-batches of `batch_size` finds the memory it needs.
bool trains_with(Experiment& experiment, int64_t batch_size) {
  try {
    const auto optimizer = experiment.make_optimizer();
    data::Loader loader(training_samples(experiment), loading_of(experiment, batch_size));
    Feed feed(loader, experiment.device());
    Batch batch;
    feed.next(batch);
    training_pass(experiment, batch);
    const backend::MemoryScope memory(backend::MemoryPurpose::optimizer);
    optimizer->step({.step = 0});
    return true;
  } catch (const OutOfMemoryError&) {
    return false;
  }
}

bool evaluates_with(Experiment& experiment, int64_t batch_size) {
  try {
    data::LoaderOptions options = loading_of(experiment, batch_size);
    options.shuffle = false;
    data::Loader loader(
        experiment.source().open(data::split_from_name(experiment.config().eval.split)), options);
    Feed feed(loader, experiment.device());
    Batch batch;
    feed.next(batch);
    evaluation_pass(experiment, batch);
    return true;
  } catch (const OutOfMemoryError&) {
    return false;
  }
}

/// The largest divisor of `whole` below it that `fits` says yes to.
template <class Fits>
int64_t largest_that_fits(int64_t whole, const Fits& fits) {
  for (int64_t size = whole - 1; size > 0; --size)
    if (whole % size == 0 && fits(size)) return size;
  return 0;
}

}  // namespace

std::string what_fits(Experiment& experiment) {
  nn::Model& model = experiment.model();
  model.train(true);
  const int64_t whole = experiment.batches().batch_size;
  const int64_t accumulate = experiment.config().train.accumulate;
  std::string text;
  const Device device = experiment.device();
  const int64_t limit = device.type == DeviceType::cpu ? backend::cpu_memory_limit()
                                                       : backend::runtime(device).capacity();
  const int64_t size = largest_that_fits(whole, [&](int64_t batch_size) {
    // A real try costs a step: what cannot fit is seen in the plan.
    return plan_memory(experiment.config(), batch_size, device).tensors() <= limit &&
           trains_with(experiment, batch_size);
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
      whole, [&](int64_t batch_size) { return evaluates_with(experiment, batch_size); });
  if (size == 0) return "not even one sample at a time fits: choose a smaller model";
  return "fits: eval.batch_size: " + std::to_string(size);
}

}  // namespace sing::train
