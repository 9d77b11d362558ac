#include "train/one_pass.h"

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/nn/context.h"
#include "train/feed.h"

namespace sing::train {
namespace {

using backend::MemoryPurpose;

autocast::Guard mixed_precision(const Experiment& experiment) {
  return autocast::Guard(
      experiment.precision() == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
}

}  // namespace

data::LoaderOptions loading_of(const Experiment& experiment, int64_t batch_size) {
  data::LoaderOptions options = data::loader_options(experiment.batches(), data::Split::train, 0);
  options.batch_size = batch_size;
  options.device = experiment.device();
  options.drop_last = false;
  return options;
}

std::shared_ptr<const data::Dataset> training_samples(const Experiment& experiment) {
  return on_device(experiment.source().open(data::Split::train), experiment.device());
}

void training_pass(Experiment& experiment, const Batch& batch) {
  const nn::ForwardContext context(0, 0);
  const backend::MemoryScope memory(MemoryPurpose::activations, "forward");
  Tensor loss;
  {
    const autocast::Guard mixed = mixed_precision(experiment);
    loss = experiment.loss().forward(experiment.model().forward_batch(batch), batch);
  }
  loss.backward();
}

void evaluation_pass(Experiment& experiment, const Batch& batch) {
  const backend::MemoryScope memory(MemoryPurpose::activations, "evaluation");
  const autograd::NoGradGuard no_grad;
  const autocast::Guard mixed = mixed_precision(experiment);
  experiment.model().forward_batch(batch);
}

}  // namespace sing::train
