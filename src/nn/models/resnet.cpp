#include "sing/nn/models/resnet.h"

#include <string>

#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/pool.h"
#include "sing/ops/reshape.h"
#include "sing/ops/unary.h"

namespace sing::nn {
namespace {

constexpr int64_t kBlurFromChannels = 16;

struct BlockOptions {
  int64_t in, out, stride;
  bool blur;
  NormAffine affine;
  Init conv_init;
};

Conv2dLayerOptions conv_options(int64_t stride, int64_t padding, const Init& init) {
  return {.conv = {.stride = {stride, stride}, .padding = {padding, padding}},
          .bias = false,
          .weight_init = init};
}

Init conv_init(Stem stem) {
  return stem == Stem::imagenet ? Init::kaiming_normal(0, FanMode::fan_out) : Init::torch_default();
}

DataShape classifier_shape(const ResnetOptions& options, const DataShape& data) {
  DataShape shape = resolve_shape(options, data);
  if (shape.head != Head::classifier)
    throw ConfigError("resnet has no head image_to_image", "model.head",
                      "use a vit for images as targets", "E0232");
  return shape;
}

}  // namespace

class Resnet::BasicBlock : public Module {
 public:
  explicit BasicBlock(const BlockOptions& o)
      : conv1_(child<Conv2d>("conv1", o.in, o.out, 3, conv_options(o.stride, 1, o.conv_init))),
        bn1_(child<BatchNorm2d>("bn1", o.out, o.affine)),
        conv2_(child<Conv2d>("conv2", o.out, o.out, 3, conv_options(1, 1, o.conv_init))),
        bn2_(child<BatchNorm2d>("bn2", o.out, o.affine)),
        stride_(o.stride),
        blur_(o.blur && o.stride > 1 && o.in >= kBlurFromChannels) {
    if (o.stride == 1 && o.in == o.out) return;
    // With blur the filter itself strides, and the 1x1 convolution sees only the pixels it needs.
    shortcut_ = &child<Conv2d>("downsample.0", o.in, o.out, 1,
                               conv_options(blur_ ? 1 : o.stride, 0, o.conv_init));
    shortcut_norm_ = &child<BatchNorm2d>("downsample.1", o.out, o.affine);
  }

  Tensor forward(const Tensor& x) {
    Tensor y = ops::relu(bn1_.forward(conv1_.forward(blur_ ? ops::blur_pool(x) : x)));
    y = bn2_.forward(conv2_.forward(y));
    return ops::relu(ops::add(y, shortcut(x)));
  }

  // Sets the size to that of the output.
  double macs(int64_t& height, int64_t& width) const {
    int64_t h = height, w = width;
    double count = conv1_.macs(h, w);
    count += conv2_.macs(h, w);
    if (blur_) {
      height = h;
      width = w;
    }
    if (shortcut_) count += shortcut_->macs(height, width);
    return count;
  }

 private:
  Tensor shortcut(const Tensor& x) {
    if (!shortcut_) return x;
    return shortcut_norm_->forward(shortcut_->forward(blur_ ? ops::blur_pool(x, stride_) : x));
  }

  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  Conv2d& conv2_;
  BatchNorm2d& bn2_;
  int64_t stride_;
  bool blur_;
  Conv2d* shortcut_ = nullptr;
  BatchNorm2d* shortcut_norm_ = nullptr;
};

Resnet::Resnet(const ResnetOptions& o, const DataShape& data)
    : Model(classifier_shape(o, data)),
      stem_(o.stem),
      conv1_(o.stem == Stem::imagenet ? child<Conv2d>("conv1", shape().channels, o.width, 7,
                                                      conv_options(2, 3, conv_init(o.stem)))
                                      : child<Conv2d>("conv1", shape().channels, o.width, 3,
                                                      conv_options(1, 1, conv_init(o.stem)))),
      bn1_(child<BatchNorm2d>("bn1", o.width, o.norm_affine)) {
  const bool blur = o.blur_pool.value_or(o.stem == Stem::imagenet);
  int64_t in = o.width;
  for (size_t stage = 0; stage < o.blocks.size(); ++stage) {
    const int64_t out = o.width << stage;
    for (int64_t i = 0; i < o.blocks[stage]; ++i) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
      blocks_.push_back(&child<BasicBlock>(name, BlockOptions{.in = in,
                                                              .out = out,
                                                              .stride = stage > 0 && i == 0 ? 2 : 1,
                                                              .blur = blur,
                                                              .affine = o.norm_affine,
                                                              .conv_init = conv_init(o.stem)}));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, shape().outputs,
                       LinearOptions{.extra_tags = static_cast<uint32_t>(Tag::head)});
}

Resnet::~Resnet() = default;

Tensor Resnet::forward(const Tensor& input) {
  Tensor x = ops::relu(bn1_.forward(conv1_.forward(input)));
  if (stem_ == Stem::imagenet)
    x = ops::max_pool2d(x, {.kernel = {3, 3}, .stride = {{2, 2}}, .padding = {1, 1}});
  for (BasicBlock* block : blocks_) x = block->forward(x);
  return fc_->forward(ops::reshape(ops::global_avg_pool(x), {x.size(0), x.size(1)}));
}

int64_t Resnet::forward_macs() const {
  int64_t h = shape().height, w = shape().width;
  double macs = conv1_.macs(h, w);
  if (stem_ == Stem::imagenet) {
    h = (h + 1) / 2;
    w = (w + 1) / 2;
  }
  for (const BasicBlock* block : blocks_) macs += block->macs(h, w);
  return whole_macs(macs + fc_->macs());
}

void ResnetOptions::describe(config::Fields<ResnetOptions>& f) {
  using O = ResnetOptions;
  describe_model(f);
  f("stem", &O::stem, "first layers: for large images or for images of about 32 pixels");
  f("blur_pool", &O::blur_pool, "binomial filter ahead of convolutions with a stride")
      .default_note("true with stem: imagenet");
  f("norm_affine", &O::norm_affine,
    "weight and bias of the batch norms: trained, kept at 1 and 0, or left out");
  f("width", &O::width, "channels of the first stage").range(1, 4096);
}

namespace {

bool add(const char* name, const char* help, const std::array<int64_t, 4>& blocks) {
  ResnetOptions defaults;
  defaults.blocks = blocks;
  return model_kind().add<ResnetOptions>(
      name, help,
      [](const ResnetOptions& o, const DataShape& data) -> std::unique_ptr<Model> {
        return std::make_unique<Resnet>(o, data);
      },
      defaults);
}

const bool kRegistered = add("resnet18", "residual network, 18 layers", {2, 2, 2, 2}) &&
                         add("resnet34", "residual network, 34 layers", {3, 4, 6, 3});

}  // namespace
}  // namespace sing::nn
