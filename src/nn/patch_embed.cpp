#include "sing/nn/patch_embed.h"

#include "sing/autograd/autocast.h"
#include "sing/backend/layer_scope.h"
#include "sing/core/error.h"
#include "sing/ops/linear.h"
#include "sing/ops/reshape.h"

namespace sing::nn {

// Holds the parameters under the names of the convolution that this replaces.
class PatchEmbed::Projection : public Module {
 public:
  Projection(int64_t channels, int64_t patch, int64_t dim, const Init& weight_init)
      : weight(parameter("weight", {dim, channels, patch, patch}, weight_init, Tag::weight)),
        bias(parameter("bias", {dim}, Init::bias_default(Shape{channels, patch, patch}.numel()),
                       Tag::bias)) {}
  Parameter &weight, &bias;
};

PatchEmbed::PatchEmbed(int64_t channels, int64_t patch, int64_t dim, const Init& weight_init)
    : channels_(channels),
      patch_(patch),
      dim_(dim),
      proj_(child<Projection>("proj", channels, patch, dim, weight_init)) {}

Tensor PatchEmbed::forward(const Tensor& images) {
  const backend::LayerScope scope(path());
  const bool fits = images.rank() == 4 && images.size(1) == channels_ &&
                    images.size(2) % patch_ == 0 && images.size(3) % patch_ == 0;
  if (!fits)
    throw ShapeError("patch_embed: wanted images (N, " + std::to_string(channels_) +
                     ", H, W) with H and W multiples of " + std::to_string(patch_) + "; got " +
                     to_string(images.shape()));
  const int64_t n = images.size(0), rows = images.size(2) / patch_, cols = images.size(3) / patch_;
  const int64_t values = channels_ * patch_ * patch_;
  Tensor x = ops::reshape(images, {n, channels_, rows, patch_, cols, patch_});
  // What is multiplied may be narrower than the images: converted while it is moved.
  const bool narrows = autocast::dtype() && x.dtype() == DType::f32;
  x = ops::permuted_copy(x, {0, 2, 4, 1, 3, 5}, narrows ? *autocast::dtype() : x.dtype());
  x = ops::reshape(x, {n, rows * cols, values});
  return ops::linear(x, ops::reshape(proj_.weight.working, {dim_, values}), proj_.bias.working);
}

double PatchEmbed::macs() const {
  return static_cast<double>(Shape{dim_, channels_, patch_, patch_}.numel());
}

Tensor fold_patches(const Tensor& tokens, int64_t channels, int64_t height, int64_t width,
                    int64_t patch) {
  const int64_t n = tokens.size(0), rows = height / patch, cols = width / patch;
  Tensor x = ops::reshape(tokens, {n, rows, cols, patch, patch, channels});
  // Losses of images are wide (autocast::Policy::widen).
  const bool widens = autocast::dtype() && is_floating(x.dtype()) && size_of(x.dtype()) == 2;
  x = ops::permuted_copy(x, {0, 5, 1, 3, 2, 4}, widens ? DType::f32 : x.dtype());
  return ops::reshape(x, {n, channels, height, width});
}

}  // namespace sing::nn
