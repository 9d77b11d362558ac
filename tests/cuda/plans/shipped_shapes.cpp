#include "cuda/plans/shipped_shapes.h"

#include <set>
#include <utility>

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/kernel_slot.h"
#include "sing/nn/context.h"
#include "sing/nn/models/resnet.h"
#include "sing/nn/models/vit.h"

namespace sing::test {
namespace {

using cuda::cudnn::ConvolutionPass;

/// What a model's calls are written to while one is running.
struct Record {
  std::vector<std::pair<ConvolutionPass, kernels::Conv2dGeometry>> convolutions;
  std::vector<kernels::AttentionForwardArgs> forward;
  std::vector<kernels::AttentionBackwardArgs> backward;
};
Record* g_record = nullptr;

bool record_convolution(ConvolutionPass pass, const kernels::Conv2dGeometry& geometry) {
  if (g_record == nullptr) return false;
  g_record->convolutions.emplace_back(pass, geometry);
  return true;
}
bool record_forward(const kernels::Conv2dFwdArgs& a) {
  return record_convolution(ConvolutionPass::forward, a.g);
}
bool record_data(const kernels::Conv2dBwdDataArgs& a) {
  return record_convolution(ConvolutionPass::backward_data, a.g);
}
bool record_weight(const kernels::Conv2dBwdWeightArgs& a) {
  return record_convolution(ConvolutionPass::backward_weight, a.g);
}
bool record_attention(const kernels::AttentionForwardArgs& a) {
  if (g_record != nullptr) g_record->forward.push_back(a);
  return g_record != nullptr;
}
bool record_attention_backward(const kernels::AttentionBackwardArgs& a) {
  if (g_record != nullptr) g_record->backward.push_back(a);
  return g_record != nullptr;
}

}  // namespace
}  // namespace sing::test

// Ahead of every other CPU kernel: a call that was written down needs no computing.
namespace sing::kernels {
SING_FAST_KERNEL(conv2d_fwd, test::record_forward, 1000, "record")
SING_FAST_KERNEL(conv2d_bwd_data, test::record_data, 1000, "record")
SING_FAST_KERNEL(conv2d_bwd_weight, test::record_weight, 1000, "record")
SING_FAST_KERNEL(attention_forward, test::record_attention, 1000, "record")
SING_FAST_KERNEL(attention_backward, test::record_attention_backward, 1000, "record")
}  // namespace sing::kernels

namespace sing::test {
namespace {

constexpr int64_t kImages = 2;

/// The calls of one step of training in bf16. The numbers in it mean nothing.
Record calls_of(nn::Model& model) {
  model.initialize(1);
  const nn::DataShape& shape = model.shape();
  const Tensor images = Tensor::full({kImages, shape.channels, shape.height, shape.width}, 0.5);
  Record record;
  g_record = &record;
  {
    const nn::ForwardContext context(1, 1);
    const autocast::Guard guard(DType::bf16);
    const Tensor output = model.forward(images);
    output.backward(Tensor::full(output.shape(), 1, {.dtype = output.dtype()}));
  }
  g_record = nullptr;
  return record;
}

void add_convolutions(std::vector<ShippedConvolution>& all, std::set<std::vector<int64_t>>& seen,
                      const std::string& name, int64_t batch, nn::Model& model) {
  for (auto& [pass, geometry] : calls_of(model).convolutions) {
    geometry.n = batch;
    const cuda::cudnn::ConvolutionProblem problem{pass,  geometry, DType::f32, DType::f32,
                                                  false, false,    16};
    if (seen.insert(problem.key()).second) all.push_back({name, pass, geometry});
  }
}

}  // namespace

std::vector<ShippedConvolution> shipped_convolutions() {
  std::vector<ShippedConvolution> all;
  std::set<std::vector<int64_t>> seen;
  for (const bool deeper : {false, true}) {
    const std::string name = deeper ? "resnet34" : "resnet18";
    nn::ResnetOptions options;
    if (deeper) options.blocks = {3, 4, 6, 3};
    for (const bool blur : {true, false}) {
      options.stem = nn::Stem::imagenet;
      options.blur_pool = blur;
      nn::Resnet large(options, {3, 224, 224, nn::Head::classifier, 1000});
      add_convolutions(all, seen, name + (blur ? " 224" : " 224 without blur"), 64, large);
    }
    options.stem = nn::Stem::cifar;
    options.blur_pool.reset();
    nn::Resnet small(options, {3, 32, 32, nn::Head::classifier, 100});
    add_convolutions(all, seen, name + " 32", 128, small);
  }
  return all;
}

std::vector<ShippedAttention> shipped_attention() {
  struct Case {
    const char* name;
    int64_t dim, heads, patch, pixels, batch;
    nn::Head head;
  };
  constexpr nn::Head kImage = nn::Head::image_to_image, kClasses = nn::Head::classifier;
  std::vector<ShippedAttention> all;
  for (const Case& c : {Case{"vit_s/16 128", 384, 6, 16, 128, 512, kImage},
                        Case{"vit_s/8 128", 384, 6, 8, 128, 512, kImage},
                        Case{"vit_b/16 128", 768, 12, 16, 128, 512, kImage},
                        Case{"vit_b/8 128", 768, 12, 8, 128, 256, kImage},
                        Case{"vit_b/16 224", 768, 12, 16, 224, 128, kClasses}}) {
    nn::VitOptions options;
    options.dim = c.dim;
    options.heads = c.heads;
    options.patch = c.patch;
    options.depth = 1;  // all blocks are alike
    nn::Vit model(options, {3, c.pixels, c.pixels, c.head, c.head == kImage ? 1 : 1000});
    Record record = calls_of(model);
    ShippedAttention found{c.name, record.forward.at(0), record.backward.at(0)};
    found.forward.problem.batch = found.backward.problem.batch = c.batch;
    all.push_back(found);
  }
  return all;
}

}  // namespace sing::test
