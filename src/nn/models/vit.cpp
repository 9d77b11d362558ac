#include "sing/nn/models/vit.h"

#include <cmath>
#include <string>

#include "sing/autograd/autocast.h"
#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/reshape.h"

namespace sing::nn {
namespace {

// Checked here and not with the schema: the size of the image may come from the data set.
int64_t count_patches(const DataShape& shape, int64_t patch) {
  if (shape.height % patch != 0 || shape.width % patch != 0)
    throw ConfigError("the image does not divide into patches: " + std::to_string(shape.height) +
                          " x " + std::to_string(shape.width) + " pixels, patch " +
                          std::to_string(patch),
                      "model.patch", "height and width must be multiples of model.patch", "E0230");
  return Shape{shape.height / patch, shape.width / patch}.numel();
}

bool is_classifier(const DataShape& shape) {
  return shape.head == Head::classifier;
}

// In mixed precision the tokens are narrow, and what is added to them follows.
Tensor as(const Parameter& p, const Tensor& x) {
  return autocast::cast(p.working, x.dtype());
}

/// (B, T, dim) -> (B, dim): what the first token holds; undefined stays so.
Tensor class_token(const Tensor& x) {
  if (!x.defined()) return x;
  return ops::reshape(ops::narrow(x, 1, 0, 1), {x.size(0), x.size(2)});
}

}  // namespace

Vit::Vit(const VitOptions& o, const DataShape& data)
    : Model(resolve_shape(o, data)),
      patch_(o.patch),
      dim_(o.dim),
      patches_(count_patches(shape(), o.patch)),
      tokens_(patches_ + (is_classifier(shape()) ? 1 : 0)),
      cls_token_(is_classifier(shape())
                     ? &parameter("cls_token", {1, 1, o.dim}, Init::normal(1e-6), Tag::token)
                     : nullptr),
      pos_embed_(
          parameter("pos_embed", {1, tokens_, o.dim}, Init::truncated_normal(0.02), Tag::position)),
      patch_embed_(child<PatchEmbed>("patch_embed", shape().channels, o.patch, o.dim,
                                     o.patch_init == PatchInit::kaiming_uniform
                                         ? Init::torch_default()
                                         : Init::truncated_normal(0.02))),
      pos_drop_(child<Dropout>("pos_drop", o.dropout)) {
  for (int64_t i = 0; i < o.depth; ++i)
    blocks_.push_back(&child<TransformerBlock>(
        "blocks." + std::to_string(i),
        TransformerBlockOptions{
            .dim = o.dim,
            .heads = o.heads,
            .hidden = std::llround(static_cast<double>(o.dim) * o.mlp_ratio),
            .norm_affine = o.norm_affine,
            .dropout = o.dropout,
            .attention_dropout = o.attention_dropout,
        }));
  norm_ = &child<LayerNorm>("norm", o.dim, 1e-6, o.norm_affine);
  const int64_t outputs =
      is_classifier(shape()) ? shape().outputs : o.patch * o.patch * shape().outputs;
  head_ = &child<Linear>("head", o.dim, outputs,
                         transformer_linear(true, static_cast<uint32_t>(Tag::head)));
}

Tensor Vit::forward(const Tensor& input) {
  const DataShape& s = shape();
  if (input.rank() != 4 || input.shape() != Shape{input.size(0), s.channels, s.height, s.width})
    throw ShapeError("vit: wanted images (N, " + std::to_string(s.channels) + ", " +
                     std::to_string(s.height) + ", " + std::to_string(s.width) + "); got " +
                     to_string(input.shape()));
  Tensor x = patch_embed_.forward(input);
  if (cls_token_) x = ops::concat({ops::expand(as(*cls_token_, x), {x.size(0), 1, dim_}), x}, 1);
  ResidualStream stream{pos_drop_.forward(ops::add(x, as(pos_embed_, x))), {}};
  x = {};
  for (TransformerBlock* block : blocks_) stream = block->forward(std::move(stream));
  if (cls_token_) stream = {class_token(stream.x), class_token(stream.branch)};
  const Tensor y = head_->forward(norm_->forward(stream.x, stream.branch).y);
  return cls_token_ ? y : fold_patches(y, s.outputs, s.height, s.width, patch_);
}

int64_t Vit::forward_macs() const {
  const auto patches = static_cast<double>(patches_);
  double macs = patches * patch_embed_.macs();
  for (const TransformerBlock* block : blocks_) macs += block->macs(tokens_);
  return whole_macs(macs + (cls_token_ ? 1 : patches) * head_->macs());
}

bool Vit::set_recompute(bool on) {
  for (TransformerBlock* block : blocks_) block->set_recompute(on);
  return true;
}

void VitOptions::describe(config::Fields<VitOptions>& f) {
  using O = VitOptions;
  describe_model(f);
  f("patch", &O::patch, "height and width of a patch").range(1, 1024).unit("pixels");
  f("depth", &O::depth, "transformer blocks").range(1, 1000);
  f("dim", &O::dim, "width of a token").range(1, 65536);
  f("num_heads", &O::heads, "attention heads").range(1, 65536);
  f("mlp_ratio", &O::mlp_ratio, "width of the hidden layer of a block, in token widths")
      .range(0, 64, config::Ends::high);
  f("norm_affine", &O::norm_affine,
    "weight and bias of the layer norms: trained, kept at 1 and 0, or left out");
  f("patch_init", &O::patch_init, "first values of the patch embedding");
  f("dropout", &O::dropout, "after the position embedding, attention and MLP layers")
      .range(0, 1, config::Ends::low);
  f("attention_dropout", &O::attention_dropout, "of the attention weights")
      .range(0, 1, config::Ends::low);
  f.check([](const O& o, config::Checker& c) {
    if (o.mlp_ratio * static_cast<double>(o.dim) < 0.5)
      c.fail("mlp_ratio", "the hidden layer would have no unit");
    if (o.dim % o.heads != 0)
      c.fail("num_heads", "num_heads must divide dim; got " + std::to_string(o.heads) + " and " +
                              std::to_string(o.dim));
    if (o.image_size && *o.image_size % o.patch != 0)
      c.fail("patch", "image_size must be a multiple of patch; got " +
                          std::to_string(*o.image_size) + " and " + std::to_string(o.patch));
  });
}

namespace {

VitOptions sized(int64_t dim, int64_t heads) {
  VitOptions options;
  options.dim = dim;
  options.heads = heads;
  return options;
}

bool add(const char* name, const char* help, const VitOptions& defaults) {
  return model_kind().add<VitOptions>(
      name, help,
      [](const VitOptions& o, const DataShape& data) -> std::unique_ptr<Model> {
        return std::make_unique<Vit>(o, data);
      },
      defaults);
}

const bool kRegistered =
    add("vit", "vision transformer of any size", sized(384, 6)) &&
    add("vit_tiny", "vision transformer, 192 wide, 3 heads, 12 blocks", sized(192, 3)) &&
    add("vit_s", "vision transformer, 384 wide, 6 heads, 12 blocks", sized(384, 6)) &&
    add("vit_b", "vision transformer, 768 wide, 12 heads, 12 blocks", sized(768, 12));

}  // namespace
}  // namespace sing::nn
