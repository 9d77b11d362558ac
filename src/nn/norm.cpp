#include "sing/nn/norm.h"

#include "sing/autograd/tape.h"
#include "sing/backend/layer_scope.h"
#include "sing/ops/batch_norm.h"
#include "sing/ops/recompute.h"

namespace sing::nn {
namespace {

Tensor working(const Parameter* p) {
  return p ? p->working : Tensor();
}

}  // namespace

LayerNorm::LayerNorm(int64_t dim, double eps, NormAffine affine) : eps_(eps) {
  if (affine == NormAffine::none) return;
  weight_ = &parameter("weight", {dim}, Init::ones(), Tag::weight | Tag::norm);
  bias_ = &parameter("bias", {dim}, Init::zeros(), Tag::bias | Tag::norm);
  weight_->trainable = bias_->trainable = affine == NormAffine::trained;
}

Tensor LayerNorm::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  return ops::layer_norm(x, working(weight_), working(bias_), eps_);
}

ops::AddedNorm LayerNorm::forward(const Tensor& x, const Tensor& branch) {
  const backend::LayerScope scope(path());
  return ops::add_layer_norm(x, branch, working(weight_), working(bias_), eps_);
}

BatchNorm2d::BatchNorm2d(int64_t channels, NormAffine affine, double eps, double momentum)
    : running_mean_(buffer("running_mean", {channels}, 0)),
      running_var_(buffer("running_var", {channels}, 1)),
      batches_(buffer("num_batches_tracked", {}, 0, DType::i64)),
      eps_(eps),
      momentum_(momentum) {
  if (affine == NormAffine::none) return;
  weight_ = &parameter("weight", {channels}, Init::ones(), Tag::weight | Tag::norm);
  bias_ = &parameter("bias", {channels}, Init::zeros(), Tag::bias | Tag::norm);
  weight_->trainable = bias_->trainable = affine == NormAffine::trained;
  weight_->keep_wide = bias_->keep_wide = true;
}

void BatchNorm2d::reset_statistics() {
  running_mean_.fill(0);
  running_var_.fill(1);
  batches_.fill(0);
}

void BatchNorm2d::count_batch() {
  if (batches_.device().type == DeviceType::cpu) {
    ++*batches_.mutable_data<int64_t>();
    return;
  }
  if (!one_.defined() || one_.device() != batches_.device())
    one_ = Tensor::full({}, 1, {.dtype = DType::i64, .device = batches_.device()});
  autograd::accumulate(batches_, one_);
}

Tensor BatchNorm2d::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  if (training() && !ops::recomputing()) count_batch();
  return ops::batch_norm(x, working(weight_), working(bias_), running_mean_, running_var_,
                         {.training = training(), .momentum = momentum_, .eps = eps_});
}

}  // namespace sing::nn
