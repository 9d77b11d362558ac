#include "sing/nn/model.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/config/bind.h"
#include "sing/config/yaml.h"
#include "sing/core/error.h"
#include "sing/nn/freeze.h"
#include "sing/nn/loss.h"
#include "sing/nn/models/vit.h"
#include "sing/nn/summary.h"

namespace sing::nn {
namespace {

struct Root {
  config::Component<model_kind> model;
  std::optional<config::Component<loss_kind>> loss;
  static void describe(config::Fields<Root>& f) {
    f("model", &Root::model, "the model").required();
    f("loss", &Root::loss, "the loss");
  }
};

Root parse(const std::string& yaml) {
  config::Problems problems;
  const std::optional<config::Value> tree = config::read_yaml(yaml, "test.yaml", problems);
  problems.raise();
  return config::bind<Root>(*tree);
}

std::unique_ptr<Model> make(const std::string& options, const DataShape& data) {
  return parse("model: " + options).model.make(data);
}

std::string error_code(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.code();
  }
  return "";
}

DataShape depth(int64_t size, int64_t channels) {
  return {.channels = channels,
          .height = size,
          .width = size,
          .head = Head::image_to_image,
          .outputs = 1};
}
DataShape classes(int64_t size, int64_t count) {
  return {.channels = 3, .height = size, .width = size, .head = Head::classifier, .outputs = count};
}

// Counts of recipes.md 1.3, 2.2, 3.3 and rde.md 8.
TEST(Model, VitParameterCounts) {
  struct Row {
    const char* model;
    int64_t rgb, grey;
    double gmacs;
    int64_t norm;
  };
  const std::vector<Row> rows{
      {"{name: vit_s}", 21'712'768, 21'516'160, 1.40, 19'200},
      {"{name: vit_s, patch: 8}", 21'491'392, 21'442'240, 6.06, 19'200},
      {"{name: vit_b}", 85'892'608, 85'499'392, 5.5, 38'400},
      {"{name: vit_b, patch: 8}", 85'450'048, 85'351'744, 23, 38'400},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.model);
    const auto rgb = make(row.model, depth(128, 3));
    EXPECT_EQ(rgb->parameter_count(), row.rgb);
    EXPECT_EQ(make(row.model, depth(128, 1))->parameter_count(), row.grey);
    EXPECT_EQ(model_size(*rgb).norm_parameters, row.norm);
    // The sheet rounds, and counts the products of attention by one convention or another.
    EXPECT_NEAR(static_cast<double>(rgb->forward_macs()) * 1e-9, row.gmacs, 0.025 * row.gmacs);
  }
  EXPECT_EQ(make("vit_s", classes(224, 1000))->parameter_count(), 22'050'664);
  EXPECT_EQ(make("vit_b", classes(224, 1000))->parameter_count(), 86'567'656);
  EXPECT_EQ(TransformerBlock({.dim = 384, .heads = 6, .hidden = 1536}).parameter_count(),
            1'774'464);
  EXPECT_EQ(TransformerBlock({.dim = 768, .heads = 12, .hidden = 3072}).parameter_count(),
            7'087'872);
}

TEST(Model, QuickstartParameterCounts) {
  const std::string options =
      "{name: vit, patch: 4, dim: 64, depth: 4, num_heads: 4, norm_affine: ";
  EXPECT_EQ(make(options + "trained}", depth(24, 1))->trainable_count(), 204'496);
  EXPECT_EQ(make(options + "none}", depth(24, 1))->parameter_count(), 203'344);
  const auto frozen = make(options + "frozen}", depth(24, 1));
  EXPECT_EQ(frozen->trainable_count(), 203'344);
  EXPECT_EQ(frozen->parameter_count(), 204'496);
}

TEST(Model, ResnetParameterCounts) {
  struct Row {
    const char* model;
    DataShape data;
    int64_t parameters, tensors, norm;
    double gmacs;
  };
  const std::vector<Row> rows{
      {"{name: resnet18, stem: cifar}", classes(32, 10), 11'173'962, 62, 9'600, 0.556},
      {"{name: resnet18, stem: cifar}", classes(32, 100), 11'220'132, 62, 9'600, 0.556},
      {"{name: resnet34, stem: cifar}", classes(32, 100), 21'328'292, 110, 17'024, 1.16},
      {"resnet18", classes(224, 1000), 11'689'512, 62, 9'600, 1.82},
      {"resnet18", classes(192, 1000), 11'689'512, 62, 9'600, 1.34},
      {"resnet18", classes(160, 1000), 11'689'512, 62, 9'600, 0.93},
      {"resnet34", classes(224, 1000), 21'797'672, 110, 17'024, 3.67},
      {"resnet34", classes(192, 1000), 21'797'672, 110, 17'024, 2.70},
      {"resnet34", classes(160, 1000), 21'797'672, 110, 17'024, 1.87},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.model);
    const auto model = make(row.model, row.data);
    const ModelSize size = model_size(*model);
    EXPECT_EQ(size.parameters, row.parameters);
    EXPECT_EQ(size.tensors, row.tensors);
    EXPECT_EQ(size.norm_parameters, row.norm);
    EXPECT_NEAR(static_cast<double>(model->forward_macs()) * 1e-9, row.gmacs, 0.01 * row.gmacs);
  }
  const auto frozen = make("{name: resnet18, stem: cifar, norm_affine: frozen}", classes(32, 100));
  EXPECT_EQ(frozen->trainable_count(), 11'210'532);
  EXPECT_EQ(model_size(*frozen).trainable_tensors, 22);
  EXPECT_EQ(model_size(*frozen).norm_tensors, 40);
  const auto later = make("{name: resnet18, stem: cifar}", classes(32, 10));
  freeze_norm_affine(*later);
  EXPECT_EQ(later->trainable_count(), 11'164'362);
  const auto resnet34 =
      make("{name: resnet34, stem: cifar, norm_affine: frozen}", classes(32, 100));
  EXPECT_EQ(resnet34->trainable_count(), 21'311'268);
}

TEST(Model, NamesAreThoseOfPublicCheckpoints) {
  const auto vit = make("vit_s", classes(224, 1000));
  for (const char* name :
       {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias",
        "blocks.11.norm1.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.proj.bias",
        "blocks.3.norm2.bias", "blocks.3.mlp.fc1.weight", "blocks.3.mlp.fc2.bias", "norm.weight",
        "head.weight"})
    EXPECT_NE(vit->find_parameter(name), nullptr) << name;
  EXPECT_EQ(vit->describe()[1].shape, (Shape{1, 197, 384}));
  const auto resnet = make("resnet18", classes(224, 1000));
  for (const char* name :
       {"conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.1.bn2.weight",
        "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "layer4.1.conv2.weight",
        "fc.weight", "fc.bias"})
    EXPECT_NE(resnet->find_parameter(name), nullptr) << name;
  EXPECT_EQ(resnet->find_parameter("layer1.0.downsample.0.weight"), nullptr);
}

TEST(Model, Tags) {
  const auto vit = make("{name: vit_tiny, depth: 1}", classes(32, 10));
  const auto tags = [&](const char* name) { return tags_text(vit->find_parameter(name)->tags); };
  EXPECT_EQ(tags("cls_token"), "token");
  EXPECT_EQ(tags("pos_embed"), "position");
  EXPECT_EQ(tags("patch_embed.proj.weight"), "weight");
  EXPECT_EQ(tags("blocks.0.norm1.weight"), "weight, norm");
  EXPECT_EQ(tags("blocks.0.norm1.bias"), "bias, norm");
  EXPECT_EQ(tags("head.bias"), "bias, head");
}

TEST(Model, ShapesComeFromTheDataSet) {
  const auto model = make("{name: vit_tiny, depth: 1, patch: 8}", depth(32, 1));
  EXPECT_EQ(model->shape().channels, 1);
  EXPECT_EQ(model->shape().height, 32);
  EXPECT_EQ(model->shape().head, Head::image_to_image);
  // Without a data set the options say it.
  const auto alone = make(
      "{name: vit_tiny, depth: 1, patch: 8, head: classifier, image_size: 32, in_channels: 3, "
      "num_classes: 7}",
      {});
  EXPECT_EQ(alone->shape().outputs, 7);
  EXPECT_EQ(alone->shape().head, Head::classifier);
}

TEST(Model, WhatDoesNotFitIsAConfigError) {
  const auto code = [](const std::string& options, const DataShape& data) {
    return error_code([&] { make(options, data); });
  };
  EXPECT_EQ(code("{name: vit_s, patch: 12}", depth(128, 1)), "E0230");
  EXPECT_EQ(code("{name: vit_s, in_channels: 3}", depth(128, 1)), "E0231");
  EXPECT_EQ(code("{name: vit_s, image_size: 224}", depth(128, 1)), "E0231");
  EXPECT_EQ(code("{name: vit_s, head: classifier}", depth(128, 1)), "E0231");
  EXPECT_EQ(code("{name: resnet18, num_classes: 10}", classes(32, 100)), "E0231");
  EXPECT_EQ(code("resnet18", depth(128, 1)), "E0232");
  EXPECT_EQ(code("{name: vit_s, head: image_to_image}", {}), "E0234");
  EXPECT_EQ(code("{name: vit, dim: 10, num_heads: 3}", depth(128, 1)), "E0211");
  EXPECT_EQ(code("{name: vit, image_size: 20}", depth(20, 1)), "E0211");
  EXPECT_EQ(code("{name: vit, dropout: 1}", depth(128, 1)), "E0208");
  EXPECT_EQ(code("{name: vit, mlp_ratio: 1e-3}", depth(128, 1)), "E0211");
  // Larger than anything that could be meant, so that no product of sizes overflows.
  EXPECT_EQ(code("{name: vit, dim: 1e15}", depth(128, 1)), "E0208");
  EXPECT_EQ(code("{name: mlp, hidden: [10, 1e15]}", depth(128, 1)), "E0208");
  EXPECT_EQ(code("{name: resnet18, width: 1e15}", classes(32, 10)), "E0208");
  EXPECT_EQ(code("{name: resnet18, num_classes: 1e15}", classes(32, 10)), "E0208");
  EXPECT_EQ(code("{name: vit_x}", depth(128, 1)), "E0210");
  EXPECT_EQ(code("{name: vit, norm_affine: no}", depth(128, 1)), "E0209");
  VitOptions options;  // from C++ no schema has looked at them
  options.dim = 10;
  options.heads = 3;
  EXPECT_EQ(error_code([&] { Vit(options, depth(128, 1)); }), "E0233");
}

TEST(Model, LossesFitTheirHead) {
  const auto loss = [](const std::string& options) {
    return parse("model: mlp\nloss: " + options).loss->make();
  };
  EXPECT_NO_THROW(loss("mse")->check(Head::image_to_image));
  EXPECT_NO_THROW(loss("{name: cross_entropy, label_smoothing: 10%}")->check(Head::classifier));
  EXPECT_EQ(error_code([&] { loss("l1")->check(Head::classifier); }), "E0235");
  EXPECT_EQ(error_code([&] { loss("cross_entropy")->check(Head::image_to_image); }), "E0235");
  EXPECT_EQ(error_code([&] { loss("{name: cross_entropy, label_smoothing: 2}"); }), "E0208");
}

TEST(Model, InputsOfAnotherShapeAreRefused) {
  const auto vit = make("{name: vit_tiny, depth: 1, patch: 8}", depth(32, 1));
  const auto mlp = make("mlp", depth(8, 1));
  vit->initialize(1);
  mlp->initialize(1);
  EXPECT_THROW(vit->forward(Tensor::zeros({2, 1, 16, 16})), ShapeError);
  EXPECT_THROW(vit->forward(Tensor::zeros({2, 3, 32, 32})), ShapeError);
  EXPECT_THROW(mlp->forward(Tensor::zeros({2, 64})), ShapeError);
  EXPECT_EQ(mlp->forward(Tensor::zeros({2, 1, 8, 8})).shape(), (Shape{2, 1, 8, 8}));
  EXPECT_EQ(vit->forward(Tensor::zeros({0, 1, 32, 32})).shape(), (Shape{0, 1, 32, 32}));
}

TEST(Model, SummaryFoldsRepeatedBlocks) {
  const auto model = make(
      "{name: vit, patch: 4, dim: 64, depth: 4, num_heads: 4, norm_affine: frozen}", depth(24, 1));
  const std::string text = summary_text(*model);
  EXPECT_NE(text.find("blocks.*.attn.qkv.weight   (192, 64)      4 x 12,288  weight\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("weight, norm, frozen"), std::string::npos);
  EXPECT_NE(text.find("parameters 204,496 in 55 tensors, trained 203,344 in 37\n"),
            std::string::npos)
      << text;
  EXPECT_NE(summary_text(*model, false).find("blocks.3.attn.qkv.weight"), std::string::npos);
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
}

}  // namespace
}  // namespace sing::nn
