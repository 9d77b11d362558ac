#pragma once
#include <string>
#include <vector>

#include "backend/cuda/cudnn/graph.h"
#include "kernels/conv.h"

namespace sing::cuda::cudnn {

/// Everything a convolution plan depends on. Images are channels-last; filters may be row-major,
/// which engines for channels-last images transpose in their workspace.
struct ConvolutionProblem {
  ConvolutionPass pass;
  kernels::Conv2dGeometry geometry;
  DType dtype;                  ///< f32 or bf16, of images and filter
  DType filter_gradient_dtype;  ///< of backward_weight: dtype or f32
  bool bias;                    ///< forward: y = x * w + bias
  bool accumulate;              ///< backward_weight: add to what is there
  int64_t alignment;            ///< bytes, of every pointer

  std::vector<int64_t> key() const;
  /// "conv2d forward, x (32, 64, 56, 56) bf16, weight (64, 64, 3, 3), stride 1 1, ...".
  std::string text() const;
};

/// Unique ids in the graphs made here.
enum ConvolutionTensor : int64_t { kImage = 1, kFilter = 2, kOutput = 3, kBias = 4 };

/// Finalised. Throws BackendError for what cuDNN does not accept.
Graph convolution_graph(const ConvolutionProblem& problem, const Target& target);

}  // namespace sing::cuda::cudnn
