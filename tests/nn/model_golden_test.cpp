// Small models against PyTorch in f64: output, loss, the gradient of the input and of every
// parameter. Written by tests/golden/write_nn_golden.py.
#include <gtest/gtest.h>

#include <memory>

#include "sing/nn/freeze.h"
#include "sing/nn/loss.h"
#include "sing/nn/models/mlp_model.h"
#include "sing/nn/models/resnet.h"
#include "sing/nn/models/vit.h"
#include "support/golden.h"

namespace sing::nn {
namespace {

using test::Tensors;

void compare(Model& model, const std::string& file, const config::Component<loss_kind>& loss) {
  const Tensors g = test::golden_file("nn/model_" + file + ".safetensors");
  test::load_golden(model, g);
  Tensor x = g.at("x").to(DType::f64).clone();
  x.set_requires_grad();
  const Tensor y = model.forward(x);
  SING_EXPECT_CLOSE(y, g.at("y"), test::kGolden, "output");
  const Tensor value = loss.make()->forward(y, g.at("target"));
  SING_EXPECT_CLOSE(value, g.at("loss"), test::kGolden, "loss");
  value.backward();
  SING_EXPECT_CLOSE(x.grad(), g.at("gx"), test::kGolden, "gradient of the input");
  test::expect_golden_gradients(model, g);
  const Tensors state = named_tensors(model);
  for (const auto& [name, buffer] : test::part(g, "buffer/"))
    SING_EXPECT_CLOSE(state.at(name), buffer, test::kGolden, name);
}

config::Component<loss_kind> smoothed() {
  return {"cross_entropy", CrossEntropyLossOptions{.label_smoothing = 0.1}};
}

VitOptions small_vit(int64_t dim, int64_t heads) {
  VitOptions o;
  o.patch = 4;
  o.depth = 2;
  o.dim = dim;
  o.heads = heads;
  return o;
}

constexpr DataShape kDepth{.channels = 3, .height = 8, .width = 12, .outputs = 2};

TEST(ModelGolden, VitImageToImage) {
  Vit model(small_vit(16, 4), kDepth);
  compare(model, "vit_image_to_image", "mse");
}

TEST(ModelGolden, VitImageToImageRecomputed) {
  Vit model(small_vit(16, 4), kDepth);
  EXPECT_TRUE(model.set_recompute(true));
  compare(model, "vit_image_to_image", "mse");
}

TEST(ModelGolden, VitImageToImageWithFrozenNorms) {
  Vit model(small_vit(16, 4), kDepth);
  EXPECT_EQ(freeze_norm_affine(model), 10);
  compare(model, "vit_image_to_image", "mse");
}

TEST(ModelGolden, VitClassifier) {
  Vit model(small_vit(12, 3),
            {.channels = 1, .height = 12, .width = 12, .head = Head::classifier, .outputs = 5});
  compare(model, "vit_classifier", "cross_entropy");
}

ResnetOptions small_resnet(Stem stem, NormAffine affine) {
  ResnetOptions o;
  o.stem = stem;
  o.norm_affine = affine;
  o.width = stem == Stem::imagenet ? 8 : 4;
  o.blocks = {stem == Stem::imagenet ? 1 : 2, 1, 1, 1};
  return o;
}

constexpr DataShape kLarge{
    .channels = 3, .height = 40, .width = 40, .head = Head::classifier, .outputs = 5};
constexpr DataShape kSmall{
    .channels = 3, .height = 16, .width = 16, .head = Head::classifier, .outputs = 7};

TEST(ModelGolden, ResnetImagenet) {
  Resnet model(small_resnet(Stem::imagenet, NormAffine::trained), kLarge);
  compare(model, "resnet_imagenet", smoothed());
}

TEST(ModelGolden, ResnetImagenetFrozenAffine) {
  Resnet model(small_resnet(Stem::imagenet, NormAffine::frozen), kLarge);
  compare(model, "resnet_imagenet", smoothed());
}

TEST(ModelGolden, ResnetCifar) {
  Resnet model(small_resnet(Stem::cifar, NormAffine::trained), kSmall);
  compare(model, "resnet_cifar", smoothed());
}

TEST(ModelGolden, ResnetCifarFrozenAffine) {
  Resnet model(small_resnet(Stem::cifar, NormAffine::frozen), kSmall);
  compare(model, "resnet_cifar", smoothed());
}

TEST(ModelGolden, Mlp) {
  MlpModelOptions o;
  o.hidden = {9, 6};
  MlpModel model(o,
                 {.channels = 1, .height = 3, .width = 5, .head = Head::classifier, .outputs = 4});
  compare(model, "mlp", smoothed());
}

}  // namespace
}  // namespace sing::nn
