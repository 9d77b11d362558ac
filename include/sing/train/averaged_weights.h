#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "sing/core/export.h"
#include "sing/data/loader.h"
#include "sing/nn/model.h"
#include "sing/optim/optimizer.h"
#include "sing/tensor/state_visitor.h"
#include "sing/train/config.h"

namespace sing::train {

/// The averaged weights in place of the trained ones, while it lives; does nothing when there are
/// none by now. Afterwards weights and buffers are those of before, bit for bit.
class SING_API AveragedWeights {
 public:
  AveragedWeights(optim::Optimizer& optimizer, nn::Model& model);
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;
  bool active() const { return active_; }

 private:
  optim::Optimizer& optimizer_;
  nn::Model& model_;
  bool active_;
  std::vector<Tensor> buffers_;  // of the trained weights
};

/// Where batch-norm statistics for averaged weights come from.
struct StatisticsRequest {
  std::shared_ptr<const data::Dataset> dataset;  ///< the training samples
  data::LoaderOptions loading;                   ///< as training loads them
  Precision precision = Precision::f32;
  std::optional<int64_t> batches;     ///< how many of an epoch; not set: all
  std::function<bool()> interrupted;  ///< asked between batches
};

/// Sets the running statistics of all batch-norm layers to the plain mean over batches of the
/// training set, each seen in training mode under the present weights; nothing else changes. The
/// batches are those of an epoch that training never reaches, so that order and augmentation depend
/// on the seed alone. Source: torch.optim.swa_utils.update_bn. Returns false when interrupted; the
/// statistics are then of no use.
SING_API bool update_batch_norm(nn::Model& model, const StatisticsRequest& request);

/// Batch-norm buffers that fit the averaged weights after one update, kept so that a checkpoint can
/// be evaluated without the training set.
class SING_API AveragedStatistics {
 public:
  /// Whether this model under this optimizer wants them.
  static bool wanted(const optim::Optimizer& optimizer, nn::Model& model);

  /// For averaged weights that are in place after update `step`: the kept ones, or new ones. False
  /// when interrupted.
  bool apply(nn::Model& model, int64_t step, const StatisticsRequest& request);
  /// Puts the kept ones into the model; false when there are none of that step.
  bool restore(nn::Model& model, int64_t step) const;
  void visit_state(StateVisitor& visitor, const nn::Model& model);
  /// Of the update they are kept for; -1: there are none.
  int64_t step() const { return step_; }

 private:
  int64_t step_ = -1;  // updates made; -1: there are none
  std::vector<Tensor> buffers_;
};

}  // namespace sing::train
