#include "sing/train/load_weights.h"

#include "sing/core/error.h"
#include "sing/nn/load.h"
#include "sing/train/averaged_weights.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/state_io.h"

namespace sing::train {
namespace {

std::map<std::string, Tensor> beginning_with(const std::map<std::string, Tensor>& tensors,
                                             const std::string& prefix) {
  std::map<std::string, Tensor> result;
  for (const auto& entry : tensors)
    if (entry.first.starts_with(prefix)) result.insert(entry);
  return result;
}

void load_statistics(Experiment& experiment, const LoadedCheckpoint& checkpoint) {
  const std::optional<int64_t> batches = experiment.config().eval.statistics_batches;
  if (batches == 0) return;
  const auto saved = beginning_with(checkpoint.contents.optimizer, "averaged/");
  StateReader reader(saved, checkpoint.contents.state.at("numbers"));
  AveragedStatistics statistics;
  statistics.visit_state(reader, experiment.model());
  reader.finish();
  if (statistics.restore(experiment.model(), checkpoint.step)) return;
  StatisticsRequest request;
  request.dataset = experiment.source().open(data::Split::train);
  request.loading = data::loader_options(experiment.batches(), data::Split::train,
                                         static_cast<uint64_t>(experiment.config().seed));
  request.loading.device = experiment.device();
  request.batches = batches;
  update_batch_norm(experiment.model(), request);
}

}  // namespace

LoadedWeights load_weights(Experiment& experiment, const std::string& folder,
                           std::optional<Weights> wanted) {
  nn::Model& model = experiment.model();
  // The checkpoint holds everything: what the first values came from need not be there any more.
  model.initialize(static_cast<uint64_t>(experiment.config().seed));
  std::unique_ptr<optim::Optimizer> optimizer;
  if (wanted != Weights::trained && optim::keeps_averages(experiment.config().optimizer)) {
    optimizer = experiment.make_optimizer();
    model.set_precision(DType::f32);
  }
  if (wanted == Weights::averaged && !optimizer)
    throw ConfigError("there are no averaged weights: the run's optimizer keeps none", folder,
                      "leave --weights out", "E0277");
  const LoadedCheckpoint checkpoint =
      load_checkpoint(folder, optimizer ? CheckpointParts::all : CheckpointParts::model);
  nn::load_parameters(model, checkpoint.contents.model);
  LoadedWeights result{checkpoint.step, false};
  if (!optimizer) {
    model.to(experiment.device());
    return result;
  }
  const auto saved = beginning_with(checkpoint.contents.optimizer, "optimizer/");
  StateReader reader(saved, checkpoint.contents.state.at("numbers"));
  optimizer->visit_state(reader);
  reader.finish();
  result.averaged = optimizer->averages_ready();
  if (result.averaged) optimizer->use_averages(true);
  model.to(experiment.device());  // what was read was put together on the host
  if (result.averaged && AveragedStatistics::wanted(*optimizer, model))
    load_statistics(experiment, checkpoint);
  return result;
}

}  // namespace sing::train
