#include "sing/train/averaged_weights.h"

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/nn/context.h"
#include "sing/nn/norm.h"
#include "train/feed.h"

namespace sing::train {
namespace {

/// Beyond every epoch and every micro-step of training.
constexpr uint64_t kEpoch = uint64_t{1} << 31;
constexpr uint64_t kFirstPass = uint64_t{1} << 62;

std::vector<nn::BatchNorm2d*> batch_norms(nn::Model& model) {
  std::vector<nn::BatchNorm2d*> result;
  for (nn::Module* module : model.modules())
    if (auto* norm = dynamic_cast<nn::BatchNorm2d*>(module)) result.push_back(norm);
  return result;
}

std::vector<Tensor> copies(const nn::Model& model) {
  std::vector<Tensor> result;
  for (const NamedTensor& buffer : model.buffers()) result.push_back(buffer.tensor.clone());
  return result;
}

void put_back(nn::Model& model, const std::vector<Tensor>& values) {
  const std::vector<NamedTensor> buffers = model.buffers();
  for (size_t i = 0; i < buffers.size(); ++i) {
    Tensor buffer = buffers[i].tensor;
    buffer.copy_from(values[i]);
  }
}

/// Training mode and each layer's own momentum are as before when it goes.
class TrainingMode {
 public:
  TrainingMode(nn::Model& model, const std::vector<nn::BatchNorm2d*>& norms)
      : model_(model), norms_(norms), before_(model.training()) {
    for (const nn::BatchNorm2d* norm : norms_) momenta_.push_back(norm->momentum());
    model_.train(true);
  }
  ~TrainingMode() {
    for (size_t i = 0; i < norms_.size(); ++i) norms_[i]->set_momentum(momenta_[i]);
    model_.train(before_);
  }
  TrainingMode(const TrainingMode&) = delete;
  TrainingMode& operator=(const TrainingMode&) = delete;

 private:
  nn::Model& model_;
  const std::vector<nn::BatchNorm2d*>& norms_;
  bool before_;
  std::vector<double> momenta_;
};

}  // namespace

AveragedWeights::AveragedWeights(optim::Optimizer& optimizer, nn::Model& model)
    : optimizer_(optimizer), model_(model), active_(optimizer.averages_ready()) {
  if (!active_) return;
  buffers_ = copies(model_);
  optimizer_.use_averages(true);
}

AveragedWeights::~AveragedWeights() {
  if (!active_) return;
  optimizer_.use_averages(false);
  put_back(model_, buffers_);
}

bool update_batch_norm(nn::Model& model, const StatisticsRequest& request) {
  const std::vector<nn::BatchNorm2d*> norms = batch_norms(model);
  const TrainingMode mode(model, norms);
  const autograd::NoGradGuard no_grad;
  const autocast::Guard mixed(
      request.precision == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
  data::LoaderOptions options = request.loading;
  options.epochs = 0;
  options.interrupted = request.interrupted;
  data::Loader loader(request.dataset, options);
  loader.resume({kEpoch, 0});
  Feed feed(loader, options.device);
  int64_t count = loader.batches_per_epoch();
  if (request.batches) count = std::min(count, *request.batches);
  for (nn::BatchNorm2d* norm : norms) norm->reset_statistics();
  Batch batch;
  for (int64_t n = 0; n < count; ++n) {
    if ((request.interrupted && request.interrupted()) || !feed.next(batch)) return false;
    // The mean of n + 1 batches out of that of n: every batch counts alike.
    for (nn::BatchNorm2d* norm : norms) norm->set_momentum(1 / static_cast<double>(n + 1));
    const nn::ForwardContext context(options.seed, kFirstPass + static_cast<uint64_t>(n));
    model.forward_batch(batch);
    feed.fetch_ahead();
  }
  return true;
}

bool AveragedStatistics::wanted(const optim::Optimizer& optimizer, nn::Model& model) {
  return optimizer.averages_want_statistics() && !batch_norms(model).empty();
}

bool AveragedStatistics::apply(nn::Model& model, int64_t step, const StatisticsRequest& request) {
  if (restore(model, step)) return true;
  if (!update_batch_norm(model, request)) return false;
  buffers_ = copies(model);
  step_ = step;
  return true;
}

bool AveragedStatistics::restore(nn::Model& model, int64_t step) const {
  if (step_ != step || step_ < 0) return false;
  put_back(model, buffers_);
  return true;
}

void AveragedStatistics::visit_state(StateVisitor& visitor, const nn::Model& model) {
  visitor.visit("averaged/step", step_);
  if (step_ < 0) return;
  const std::vector<NamedTensor> buffers = model.buffers();
  if (buffers_.empty()) buffers_ = copies(model);
  for (size_t i = 0; i < buffers.size(); ++i)
    visitor.visit("averaged/" + buffers[i].name, buffers_[i]);
}

}  // namespace sing::train
