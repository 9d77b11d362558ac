#include "sing/train/evaluation.h"

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/data/loader.h"
#include "sing/train/progress.h"
#include "train/feed.h"

namespace sing::train {
namespace {

/// Evaluation mode while it lives.
class EvaluationMode {
 public:
  explicit EvaluationMode(nn::Model& model) : model_(model), before_(model.training()) {
    model_.train(false);
  }
  ~EvaluationMode() { model_.train(before_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  nn::Model& model_;
  bool before_;
};

/// Where the model is.
Device device_of(const nn::Model& model) {
  const std::vector<const nn::Parameter*> parameters = model.parameters();
  return parameters.empty() ? Device{} : parameters.front()->value.device();
}

void keep_first(EvalResult& result, const Batch& batch, const Tensor& output, int64_t wanted) {
  if (wanted <= 0 || result.first_output.defined()) return;
  const int64_t count = std::min(wanted, batch.size());
  const Batch part = batch.narrow(0, count);
  for (const NamedTensor& entry : part.entries())  // the loader overwrites its batches
    result.first.set(entry.name, entry.tensor.clone());
  result.first_output = output.narrow(0, 0, count).clone();
}

}  // namespace

EvalResult evaluate(nn::Model& model, const std::vector<std::unique_ptr<metrics::Metric>>& measures,
                    const std::vector<std::string>& names, const EvalRequest& request) {
  const EvaluationMode mode(model);
  const autograd::NoGradGuard no_grad;
  const autocast::Guard mixed(
      request.precision == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
  data::LoaderOptions options;
  options.batch_size = std::min(request.batch_size, request.dataset->size());
  options.workers = request.workers;
  options.shuffle = false;
  options.epochs = 1;
  options.on_bad_sample = request.on_bad_sample;
  options.max_bad = request.max_bad;
  options.interrupted = request.interrupted;
  options.device = device_of(model);
  data::Loader loader(request.dataset, options);
  Feed feed(loader, options.device);
  for (const auto& metric : measures) metric->reset();

  const int64_t wanted = request.limit > 0 ? std::min(request.limit, request.dataset->size())
                                           : request.dataset->size();
  EvalResult result;
  Batch batch;
  while (feed.next(batch)) {
    Batch host = feed.host();
    if (request.limit > 0) {
      if (result.samples >= request.limit) break;
      const int64_t count = std::min(batch.size(), request.limit - result.samples);
      batch = batch.narrow(0, count);
      host = host.narrow(0, count);
    }
    const backend::MemoryScope memory(backend::MemoryPurpose::activations, "evaluation");
    const Tensor output = model.forward_batch(batch).to(Device{});
    for (const auto& metric : measures) metric->add(host, output);
    keep_first(result, host, output, request.keep_samples);
    result.samples += host.size();
    if (request.progress) request.progress(result.samples, wanted);
    if (request.interrupted && request.interrupted()) break;
  }
  result.complete = result.samples >= wanted;
  for (size_t i = 0; i < measures.size(); ++i)
    result.values.push_back({names[i], measures[i]->value(), measures[i]->traits()});
  return result;
}

std::string eval_text(const EvalResult& result) {
  std::string text;
  for (const EvalValue& value : result.values) {
    if (!text.empty()) text += "   ";
    text += value.metric + " " + metric_text(value.value, value.traits.share);
  }
  return text;
}

}  // namespace sing::train
