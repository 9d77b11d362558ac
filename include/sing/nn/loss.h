#pragma once
#include <memory>

#include "sing/config/component.h"
#include "sing/config/schema.h"
#include "sing/core/export.h"
#include "sing/nn/model.h"
#include "sing/tensor/batch.h"

namespace sing::nn {

/// What training makes small: the mean over the batch, a scalar in f32 (f64 for f64 outputs).
/// Registered: mse, l1, cross_entropy {label_smoothing, ignore_index}.
class SING_API Loss {
 public:
  virtual ~Loss();
  virtual Tensor forward(const Tensor& output, const Tensor& targets) const = 0;
  Tensor forward(const Tensor& output, const Batch& batch) const {
    return forward(output, batch.targets());
  }
  /// Throws ConfigError E0235 unless the loss is meant for what this head gives.
  virtual void check(Head head) const = 0;
};

struct CrossEntropyLossOptions {
  double label_smoothing = 0;
  int64_t ignore_index = -100;
  static void describe(config::Fields<CrossEntropyLossOptions>& f);
};

using LossKind = config::ComponentKind<std::unique_ptr<Loss>()>;
/// config::Component<nn::loss_kind> is the `loss:` key.
SING_API LossKind& loss_kind();

}  // namespace sing::nn
