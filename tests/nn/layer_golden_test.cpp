// Layers against PyTorch in f64: outputs, gradients of inputs and of all parameters. Written by
// tests/golden/write_nn_golden.py.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "sing/nn/attention.h"
#include "sing/nn/conv2d.h"
#include "sing/nn/embedding.h"
#include "sing/nn/linear.h"
#include "sing/nn/loss.h"
#include "sing/nn/mlp.h"
#include "sing/nn/norm.h"
#include "sing/nn/patch_embed.h"
#include "sing/nn/transformer_block.h"
#include "support/golden.h"

namespace sing::nn {
namespace {

using test::Tensors;

constexpr size_t kCases = 20;

struct Options {
  std::vector<double> values;
  int64_t operator[](size_t i) const { return static_cast<int64_t>(values.at(i)); }
};

Tensor leaf(const Tensor& golden) {
  if (!is_floating(golden.dtype())) return golden;
  Tensor x = golden.to(DType::f64).clone();
  x.set_requires_grad();
  return x;
}

/// Compares y, the gradients of the inputs and parameters, and the buffers after the pass.
void compare(Module& layer, const Tensors& g, const Tensor& y,
             const std::map<std::string, Tensor>& input_gradients) {
  SING_EXPECT_CLOSE(y, g.at("y"), test::kGolden, "y");
  y.backward(g.at("gy").to(DType::f64));
  for (const auto& [name, x] : input_gradients) {
    if (x.requires_grad()) {
      SING_EXPECT_CLOSE(x.grad(), g.at(name), test::kGolden, name);
    }
  }
  test::expect_golden_gradients(layer, g, "l.");
  const Tensors state = named_tensors(layer);
  for (const auto& [name, value] : test::part(g, "buffer/l."))
    SING_EXPECT_CLOSE(state.at(name), value, test::kGolden, name);
}

/// Every case of a kind: `make` builds the layer from the options, `run` calls it.
template <class Make, class Run>
void check(const std::string& kind, Make make, Run run) {
  const auto cases = test::golden_cases("nn/layer_" + kind + ".safetensors", kind);
  ASSERT_EQ(cases.size(), kCases);
  for (const auto& [name, g] : cases) {
    SCOPED_TRACE(name);
    const auto layer = make(Options{g.at("options").to_vector()});
    test::load_golden(*layer, g, "l.");
    const Tensor x = leaf(g.at("x"));
    compare(*layer, g, run(*layer, x), {{"gx", x}});
  }
}

constexpr auto kForward = [](auto& layer, const Tensor& x) { return layer.forward(x); };

NormAffine affine(int64_t on) {
  return on ? NormAffine::trained : NormAffine::none;
}

TEST(LayerGolden, Linear) {
  check(
      "linear",
      [](const Options& o) {
        return std::make_unique<Linear>(o[0], o[1], LinearOptions{.bias = o[2] != 0});
      },
      kForward);
}

TEST(LayerGolden, Conv2d) {
  check(
      "conv2d",
      [](const Options& o) {
        return std::make_unique<Conv2d>(o[0], o[1], o[2],
                                        Conv2dLayerOptions{.conv = {.stride = {o[3], o[3]},
                                                                    .padding = {o[4], o[4]},
                                                                    .dilation = {o[5], o[5]},
                                                                    .groups = o[6]},
                                                           .bias = o[7] != 0});
      },
      kForward);
}

TEST(LayerGolden, LayerNorm) {
  check(
      "layer_norm",
      [](const Options& o) { return std::make_unique<LayerNorm>(o[0], o.values[1], affine(o[2])); },
      kForward);
}

TEST(LayerGolden, BatchNorm) {
  check(
      "batch_norm",
      [](const Options& o) {
        auto layer = std::make_unique<BatchNorm2d>(o[0]);
        layer->train(o[1] != 0);
        return layer;
      },
      kForward);
}

TEST(LayerGolden, Embedding) {
  check(
      "embedding", [](const Options& o) { return std::make_unique<Embedding>(o[0], o[1]); },
      kForward);
}

TEST(LayerGolden, SelfAttention) {
  check(
      "self_attention",
      [](const Options& o) {
        return std::make_unique<SelfAttention>(o[0], o[1], AttentionOptions{.causal = o[2] != 0});
      },
      kForward);
}

TEST(LayerGolden, CrossAttention) {
  const auto cases = test::golden_cases("nn/layer_cross_attention.safetensors", "cross_attention");
  ASSERT_EQ(cases.size(), kCases);
  for (const auto& [name, g] : cases) {
    SCOPED_TRACE(name);
    const Options o{g.at("options").to_vector()};
    CrossAttention layer(o[0], o[1]);
    test::load_golden(layer, g, "l.");
    const Tensor x = leaf(g.at("x0")), context = leaf(g.at("x1"));
    compare(layer, g, layer.forward(x, context), {{"gx0", x}, {"gx1", context}});
  }
}

TEST(LayerGolden, Mlp) {
  check(
      "mlp", [](const Options& o) { return std::make_unique<Mlp>(o[0], o[1]); }, kForward);
}

TEST(LayerGolden, PatchEmbed) {
  check(
      "patch_embed",
      [](const Options& o) { return std::make_unique<PatchEmbed>(o[1], o[0], o[2]); }, kForward);
}

TEST(LayerGolden, Block) {
  check(
      "block",
      [](const Options& o) {
        return std::make_unique<TransformerBlock>(TransformerBlockOptions{
            .dim = o[0], .heads = o[1], .hidden = o[2], .norm_affine = affine(o[3])});
      },
      kForward);
}

// The loss components, which are registered under these names.
void check_loss(const std::string& kind) {
  const auto cases = test::golden_cases("nn/losses.safetensors", kind);
  ASSERT_EQ(cases.size(), kCases);
  for (const auto& [name, g] : cases) {
    SCOPED_TRACE(name);
    config::Component<loss_kind> component(kind);
    if (kind == "cross_entropy")
      component = config::Component<loss_kind>(
          kind, CrossEntropyLossOptions{.label_smoothing = g.at("options").item()});
    const Tensor x = leaf(g.at("x"));
    const Tensor loss = component.make()->forward(x, g.at("target"));
    SING_EXPECT_CLOSE(loss, g.at("loss"), test::kGolden, "loss");
    loss.backward();
    SING_EXPECT_CLOSE(x.grad(), g.at("gx"), test::kGolden, "gx");
  }
}

TEST(LayerGolden, CrossEntropy) {
  check_loss("cross_entropy");
}
TEST(LayerGolden, Mse) {
  check_loss("mse");
}
TEST(LayerGolden, L1) {
  check_loss("l1");
}

}  // namespace
}  // namespace sing::nn
