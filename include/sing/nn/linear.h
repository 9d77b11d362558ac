#pragma once
#include <optional>

#include "sing/core/export.h"
#include "sing/nn/module.h"
#include "sing/ops/linear.h"

namespace sing::nn {

struct LinearOptions {
  bool bias = true;
  Init weight_init = Init::torch_default();
  std::optional<Init> bias_init = {};  ///< default: U(-b, b), b = 1 / sqrt(in)
  uint32_t extra_tags = 0;             ///< Tag::head, Tag::embedding
};

/// Truncated normal 0.02 weights and zero biases: what transformers start from.
SING_API LinearOptions transformer_linear(bool bias = true, uint32_t extra_tags = 0);

/// y = x weight^T + bias. x: (..., in) -> (..., out). Parameters weight: (out, in), bias: (out).
class SING_API Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, const LinearOptions& options = {});
  Tensor forward(const Tensor& x, ops::Activation activation = ops::Activation::none);
  /// Multiply-adds for one row.
  double macs() const { return static_cast<double>(in_) * static_cast<double>(out_); }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  /// What `forward` multiplies by, for ops that take several layers at once.
  const Tensor& weight() const { return weight_.working; }
  /// Undefined without a bias.
  Tensor bias() const { return bias_ ? bias_->working : Tensor(); }

 private:
  int64_t in_, out_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
};

}  // namespace sing::nn
