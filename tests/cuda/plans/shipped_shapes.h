#pragma once
#include <string>
#include <vector>

#include "backend/cuda/cudnn/convolution_graph.h"
#include "kernels/attention.h"

namespace sing::test {

struct ShippedConvolution {
  std::string model;  ///< the first that has it
  cuda::cudnn::ConvolutionPass pass;
  kernels::Conv2dGeometry geometry;
};

/// Every different convolution that the registered convolution nets make in a step of training,
/// images of 224 pixels (with and without blur) and of 32: the models run for two images on the
/// CPU with their convolutions written down instead of computed, and get a usual batch size here.
std::vector<ShippedConvolution> shipped_convolutions();

struct ShippedAttention {
  std::string model;
  kernels::AttentionForwardArgs forward;    ///< without pointers
  kernels::AttentionBackwardArgs backward;  ///< without pointers
};

/// Those of the vision transformers S and B with patches of 16 and 8 pixels on images of 128, and
/// of B as a classifier of images of 224, in bf16.
std::vector<ShippedAttention> shipped_attention();

}  // namespace sing::test
