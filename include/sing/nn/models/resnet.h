#pragma once
#include <array>
#include <vector>

#include "sing/nn/conv2d.h"
#include "sing/nn/linear.h"
#include "sing/nn/models/model_options.h"
#include "sing/nn/norm.h"

namespace sing::nn {

enum class Stem : uint8_t {
  imagenet,  ///< 7x7 convolution with stride 2, then 3x3 max-pooling with stride 2
  cifar,     ///< 3x3 convolution with stride 1
};
inline config::EnumNames<Stem> enum_names(Stem) {
  return {{"imagenet", Stem::imagenet}, {"cifar", Stem::cifar}};
}

struct ResnetOptions : ModelOptions {
  Stem stem = Stem::imagenet;
  std::optional<bool> blur_pool;  ///< default: with the imagenet stem
  NormAffine norm_affine = NormAffine::trained;
  int64_t width = 64;  ///< channels of the first stage; each later one has twice those before it
  std::array<int64_t, 4> blocks{2, 2, 2, 2};  ///< per stage; not a key: it is what the name says
  static void describe(config::Fields<ResnetOptions>& f);
};

/// Residual network of basic blocks (He et al. 2016), registered as resnet18 and resnet34, for
/// classification. Takes images of any size at least as large as its total stride.
/// Names as in torchvision: conv1, bn1, layer1.0.{conv1, bn1, conv2, bn2},
/// layer2.0.downsample.{0, 1}, ..., fc.
/// blur_pool: every convolution with a stride and at least 16 input channels is preceded by a fixed
/// 3x3 binomial filter (Zhang 2019), which has no parameters.
/// First values: the imagenet form kaiming_normal over fan_out, the cifar form PyTorch's defaults.
class SING_API Resnet : public Model {
 public:
  /// Throws ConfigError E0231, E0232 (head), E0234.
  Resnet(const ResnetOptions& options, const DataShape& data);
  ~Resnet() override;
  Tensor forward(const Tensor& input) override;
  int64_t forward_macs() const override;

  class BasicBlock;

 private:
  Stem stem_;
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  std::vector<BasicBlock*> blocks_;
  Linear* fc_;
};

}  // namespace sing::nn
