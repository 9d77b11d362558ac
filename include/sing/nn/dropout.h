#pragma once
#include "sing/core/export.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// In training zeroes elements with probability p and scales the others by 1 / (1 - p); otherwise
/// the identity. The mask is a function of the ForwardContext and this layer's full name, so two
/// passes in one context see one mask.
class SING_API Dropout : public Module {
 public:
  /// Throws ConfigError unless 0 <= p < 1.
  explicit Dropout(double p);
  Tensor forward(const Tensor& x);
  /// Whether forward() is more than the identity now.
  bool active() const { return training() && p_ != 0; }

 private:
  double p_;
};

}  // namespace sing::nn
