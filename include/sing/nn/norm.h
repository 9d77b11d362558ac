#pragma once
#include "sing/config/schema.h"
#include "sing/core/export.h"
#include "sing/nn/module.h"
#include "sing/ops/norm.h"

namespace sing::nn {

/// The affine part of a normalisation layer. Frozen it is kept as weight 1 and bias 0 (or as
/// loaded) and never trained; without it the layer has no parameters.
enum class NormAffine : uint8_t { trained, frozen, none };
inline config::EnumNames<NormAffine> enum_names(NormAffine) {
  return {
      {"trained", NormAffine::trained}, {"frozen", NormAffine::frozen}, {"none", NormAffine::none}};
}

/// Layer normalisation over the last dimension. x: (..., dim) -> same. Parameters weight, bias:
/// (dim), tagged norm.
class SING_API LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t dim, double eps = 1e-5, NormAffine affine = NormAffine::trained);
  Tensor forward(const Tensor& x);
  /// Of a residual sum: x + branch and its normalisation (ops::add_layer_norm). An undefined branch
  /// stands for 0.
  ops::AddedNorm forward(const Tensor& x, const Tensor& branch);

 private:
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  double eps_;
};

/// Batch normalisation per channel. x: (N, C, H, W) or (N, C) -> same. In training by the batch's
/// statistics, which also update the buffers running_mean, running_var (f32; frozen affine does not
/// change that) and num_batches_tracked (i64); in evaluation by the buffers.
class SING_API BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels, NormAffine affine = NormAffine::trained, double eps = 1e-5,
                       double momentum = 0.1);
  Tensor forward(const Tensor& x);

  /// Weight of the newest batch in the running statistics.
  double momentum() const { return momentum_; }
  void set_momentum(double momentum) { momentum_ = momentum; }
  /// Running statistics as if no batch had been seen yet.
  void reset_statistics();

 private:
  void count_batch();
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  Tensor &running_mean_, &running_var_, &batches_;
  Tensor one_;  // on a device, where batches are counted without asking it
  double eps_, momentum_;
};

}  // namespace sing::nn
