// The floor model against counts by hand, and against figures that were derived apart from it for
// one H200 (kH200).
#include "benchmarks/support/floor_model.h"

#include <gmock/gmock.h>

#include <memory>

namespace sing::bench {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr Rates kPlain{100, 10};  // ten FLOPs take as long as a byte
constexpr double kMs = 1e3;

nn::DataShape depth_images() {
  return {.channels = 1, .height = 128, .width = 128, .outputs = 1};
}

FloorModel vit(int64_t patch, int64_t dim, int64_t heads, int64_t parameters,
               Widths widths = {.activation = 2, .per_parameter = 33.6}) {
  nn::VitOptions options;
  options.patch = patch;
  options.dim = dim;
  options.heads = heads;
  return vit_floor(options, depth_images(), 512, parameters, widths);
}

TEST(FloorModel, AnOpTakesTheLargerOfItsTwoTimes) {
  EXPECT_DOUBLE_EQ((FloorOp{"g", "FLOPs", 1000, 50, 1}).seconds(kPlain), 10);
  EXPECT_DOUBLE_EQ((FloorOp{"g", "bytes", 1000, 200, 1}).seconds(kPlain), 20);
  EXPECT_DOUBLE_EQ((FloorOp{"g", "three of them", 1000, 200, 3}).seconds(kPlain), 60);
}

// The maxima are taken op by op, not of the sums.
TEST(FloorModel, SumsOverOpsAndGroups) {
  FloorModel model;
  model.add({"a", "FLOPs", 1000, 50, 1});
  model.add({"b", "bytes", 0, 200, 2});
  EXPECT_DOUBLE_EQ(model.seconds(kPlain), 50);
  EXPECT_DOUBLE_EQ(model.seconds(kPlain, "a"), 10);
  EXPECT_DOUBLE_EQ(model.seconds(kPlain, "b"), 40);
  EXPECT_DOUBLE_EQ(model.flops(), 1000);
  EXPECT_DOUBLE_EQ(model.bytes(), 450);
  EXPECT_THAT(model.groups(), ElementsAre("a", "b"));
}

// One block over 2 x 3 tokens of width 4, hidden 8, by hand: products by weight read both sides and
// write the weight; fc1 keeps 6 x 8 values for backward, proj and fc2 read the residual.
TEST(FloorModel, OneBlockByHand) {
  FloorModel model;
  add_blocks(model, {.batch = 2, .tokens = 3, .dim = 4, .hidden = 8, .depth = 1},
             {.activation = 2, .per_parameter = 0});
  const auto op = [&](const std::string& group, const std::string& name) {
    for (const FloorOp& each : model.ops)
      if (each.group == group && each.name == name) return each;
    ADD_FAILURE() << group << ", " << name;
    return FloorOp{};
  };
  EXPECT_EQ(op("products", "qkv").flops, 2 * 6 * 12 * 4);
  EXPECT_EQ(op("products", "qkv").bytes, 2 * (6 * 4 + 4 * 12 + 6 * 12));
  EXPECT_EQ(op("products", "qkv, by input").bytes, 2 * (6 * 4 + 4 * 12 + 6 * 12));
  EXPECT_EQ(op("products", "qkv, by weight").bytes, 2 * (6 * 4 + 4 * 12 + 6 * 12));
  EXPECT_EQ(op("products", "proj").bytes, 2 * (6 * 4 + 4 * 4 + 6 * 4 + 6 * 4));
  EXPECT_EQ(op("products", "fc1").bytes, 2 * (6 * 4 + 4 * 8 + 6 * 8 + 6 * 8));
  EXPECT_EQ(op("products", "fc2").bytes, 2 * (6 * 8 + 8 * 4 + 6 * 4 + 6 * 4));
  EXPECT_EQ(op("products", "fc2, by input").bytes, 2 * (6 * 4 + 4 * 8 + 6 * 8 + 6 * 8));
  EXPECT_EQ(op("products", "fc2, by weight").flops, 2 * 6 * 8 * 4);
  EXPECT_EQ(op("layer norm", "forward").bytes, 2 * 2 * 6 * 4);
  EXPECT_EQ(op("layer norm", "forward").count, 2);
  EXPECT_EQ(op("layer norm", "backward").bytes, 4 * 2 * 6 * 4);
  // Scores of 3 x 3 pairs of tokens for each of 2 pictures, 4 wide, and what they weigh.
  EXPECT_EQ(op("attention", "forward").flops, 2 * (2 * 3 * 3 * 4) * 2);
  EXPECT_EQ(op("attention", "forward").bytes, 4 * 2 * 6 * 4);
  EXPECT_EQ(op("attention", "backward").flops, 2.5 * 2 * (2 * 3 * 3 * 4) * 2);
  EXPECT_EQ(op("attention", "backward").bytes, 8 * 2 * 6 * 4);
}

TEST(FloorModel, BytesOfTheOptimizer) {
  EXPECT_DOUBLE_EQ(Widths::of(false, false).per_parameter, 28);  // g p m v, p m v
  EXPECT_DOUBLE_EQ(Widths::of(true, false).per_parameter, 30);   // and the bf16 copy
  EXPECT_DOUBLE_EQ(Widths::of(true, true).per_parameter, 35.6);  // g again, a slow copy in five
  EXPECT_DOUBLE_EQ(Widths::of(true, true).activation, 2);
  EXPECT_DOUBLE_EQ(Widths::of(false, true).activation, 4);
}

// Six times the multiply-adds that the model itself counts, less the gradient of the images, plus
// what attention computes a second time: 2.5 instead of 2 in backward.
TEST(FloorModel, FlopsAgreeWithTheModel) {
  nn::VitOptions options;
  const auto model = nn::Vit(options, depth_images());
  const double attention = 12.0 * 4 * 32768 * 64 * 384, patches = 2.0 * 32768 * 256 * 384;
  EXPECT_DOUBLE_EQ(
      vit(16, 384, 6, 21'500'000).flops(),
      6.0 * static_cast<double>(model.forward_macs()) * 512 + 0.5 * attention - patches);
  nn::ResnetOptions resnet;
  resnet.stem = nn::Stem::cifar;
  const nn::DataShape cifar{
      .channels = 3, .height = 32, .width = 32, .head = nn::Head::classifier, .outputs = 100};
  const double stem = 2.0 * 128 * 32 * 32 * 27 * 64;
  EXPECT_DOUBLE_EQ(
      resnet_floor(resnet, cifar, 128, 11'200'000, {}).flops(),
      6.0 * static_cast<double>(nn::Resnet(resnet, cifar).forward_macs()) * 128 - stem);
}

// Derived apart: 7.4 ms = products 5.44, layer norm 0.84, attention 0.84, ends 0.10, optimizer
// 0.17. Products and ends differ by what is counted of epilogues and of the position embedding.
TEST(FloorModel, VitSmall) {
  const FloorModel model = vit(16, 384, 6, 21'500'000);
  EXPECT_THAT(model.seconds(kH200, "products") * kMs, DoubleNear(5.44, 0.01));
  EXPECT_THAT(model.seconds(kH200, "layer norm") * kMs, DoubleNear(0.84, 0.005));
  EXPECT_THAT(model.seconds(kH200, "attention") * kMs, DoubleNear(0.84, 0.005));
  EXPECT_THAT(model.seconds(kH200, "ends") * kMs, DoubleNear(0.10, 0.01));
  EXPECT_THAT(model.seconds(kH200, "optimizer") * kMs, DoubleNear(0.17, 0.005));
  EXPECT_THAT(model.seconds(kH200) * kMs, DoubleNear(7.4, 0.02));
  // With f32 gradients, as they are, the optimizer moves 35.6 bytes for 33.6.
  EXPECT_THAT(vit(16, 384, 6, 21'500'000, Widths::of(true, true)).seconds(kH200, "optimizer") * kMs,
              DoubleNear(0.178, 0.0005));
}

// 28.8, 25.4 and 99 ms, rounded sums of rounded parts.
TEST(FloorModel, OtherSizesOfVit) {
  EXPECT_THAT(vit(8, 384, 6, 21'500'000).seconds(kH200) * kMs, DoubleNear(28.8, 0.12));
  EXPECT_THAT(vit(16, 768, 12, 85'900'000).seconds(kH200) * kMs, DoubleNear(25.4, 0.1));
  EXPECT_THAT(vit(8, 768, 12, 85'900'000).seconds(kH200) * kMs, DoubleNear(99, 0.5));
}

// Encoders of text: BERT-base on 12 x 384 tokens 4.25 ms, RoBERTa-base on 128 x 128 13.1 ms.
TEST(FloorModel, Encoders) {
  const auto encoder = [](int64_t batch, int64_t tokens, int64_t parameters) {
    const Widths widths{.activation = 2, .per_parameter = 29.6};
    FloorModel model;
    add_blocks(model, {batch, tokens, 768, 3072, 12}, widths);
    add_optimizer(model, parameters, widths);
    return model.seconds(kH200) * kMs;
  };
  EXPECT_THAT(encoder(12, 384, 108'900'000), DoubleNear(4.25, 0.05));
  EXPECT_THAT(encoder(128, 128, 124'600'000), DoubleNear(13.1, 0.05));
}

TEST(FloorModel, Resnet) {
  const auto step = [](nn::Stem stem, std::array<int64_t, 4> blocks, int64_t size, int64_t batch,
                       int64_t classes, int64_t parameters) {
    nn::ResnetOptions options;
    options.stem = stem;
    options.blocks = blocks;
    return resnet_floor(options,
                        {.channels = 3,
                         .height = size,
                         .width = size,
                         .head = nn::Head::classifier,
                         .outputs = classes},
                        batch, parameters, {.activation = 2, .per_parameter = 33.6});
  };
  const auto imagenet = [&](std::array<int64_t, 4> blocks, int64_t size) {
    return step(nn::Stem::imagenet, blocks, size, 1024, 1000, 11'700'000).seconds(kH200) * kMs;
  };
  // Derived apart: 11.7 and 16.9 ms, where each stage halves the size exactly.
  EXPECT_THAT(imagenet({2, 2, 2, 2}, 160), DoubleNear(11.7, 0.12));
  EXPECT_THAT(imagenet({2, 2, 2, 2}, 192), DoubleNear(16.9, 0.12));
  // At 176 the last stage has 6 x 6 pixels (half of 11, rounded up); 13.8 ms belong to 5 x 5.
  EXPECT_THAT(imagenet({2, 2, 2, 2}, 176), DoubleNear(14.6, 0.05));
  // CIFAR: 0.54 ms of FLOPs. In all 0.83 were derived apart, we count 0.88: each tensor goes to
  // memory, though those of the last stages fit a cache of 60 MB.
  const FloorModel cifar = step(nn::Stem::cifar, {2, 2, 2, 2}, 32, 128, 100, 11'200'000);
  EXPECT_THAT(cifar.flops() / kH200.flops * kMs, DoubleNear(0.54, 0.005));
  EXPECT_THAT(cifar.seconds(kH200) * kMs, DoubleNear(0.88, 0.005));
}

}  // namespace
}  // namespace sing::bench
