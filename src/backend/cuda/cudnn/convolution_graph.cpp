#include "backend/cuda/cudnn/convolution_graph.h"

#include "sing/core/error.h"

namespace sing::cuda::cudnn {
namespace {

/// Strides of (N, C, H, W) stored as N, H, W, C.
Dims channels_last(const Dims& d) {
  return {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]};
}

cudnnDataType_t data_type(DType dtype) {
  if (dtype == DType::f32) return CUDNN_DATA_FLOAT;
  SING_ASSERT(dtype == DType::bf16);
  return CUDNN_DATA_BFLOAT16;
}

/// Where both memory orders are the same, cuDNN is told channels-last: strides along dimensions of
/// size 1 would make it take the filter for a row-major one.
Dims filter_strides(const kernels::Conv2dGeometry& g, const Dims& filter) {
  if (filter[1] == 1 || filter[2] * filter[3] == 1) return channels_last(filter);
  return {g.weight_strides.begin(), g.weight_strides.end()};
}

Dims filter_dims(const kernels::Conv2dGeometry& g) {
  // Groups follow from the second dimension.
  return {g.out_channels, g.in_channels / g.groups, g.kernel_h, g.kernel_w};
}

std::string text_of(const char* name, const Dims& dims) {
  std::string text = name;
  for (size_t i = 0; i < dims.size(); ++i) text += (i == 0 ? " (" : ", ") + std::to_string(dims[i]);
  return text + ")";
}

}  // namespace

std::vector<int64_t> ConvolutionProblem::key() const {
  const kernels::Conv2dGeometry& g = geometry;
  const bool row_major = filter_strides(g, filter_dims(g))[1] != 1;
  std::vector<int64_t> key = kernels::sizes_of(g);
  key.insert(key.end(), {static_cast<int64_t>(pass), g.n, row_major, static_cast<int64_t>(dtype),
                         static_cast<int64_t>(filter_gradient_dtype), bias, accumulate, alignment});
  return key;
}

std::string ConvolutionProblem::text() const {
  const kernels::Conv2dGeometry& g = geometry;
  std::string text = "conv2d forward, ";
  if (pass == ConvolutionPass::backward_data) text = "conv2d backward data, ";
  if (pass == ConvolutionPass::backward_weight) text = "conv2d backward weight, ";
  text += text_of("x", {g.n, g.in_channels, g.in_h, g.in_w}) + " " + std::string(name_of(dtype)) +
          ", " +
          text_of("weight", {g.out_channels, g.in_channels / g.groups, g.kernel_h, g.kernel_w});
  if (pass == ConvolutionPass::backward_weight)
    text += " " + std::string(name_of(filter_gradient_dtype)) + (accumulate ? " +=" : " =");
  text += text_of(", stride", {g.stride_h, g.stride_w}) + text_of(", padding", {g.pad_h, g.pad_w});
  if (g.dilation_h != 1 || g.dilation_w != 1)
    text += text_of(", dilation", {g.dilation_h, g.dilation_w});
  if (g.groups != 1) text += ", groups " + std::to_string(g.groups);
  return text + (bias ? ", bias" : "");
}

Graph convolution_graph(const ConvolutionProblem& p, const Target& target) {
  const kernels::Conv2dGeometry& g = p.geometry;
  const cudnnDataType_t type = data_type(p.dtype);
  const bool by_weight = p.pass == ConvolutionPass::backward_weight;
  const Dims image{g.n, g.in_channels, g.in_h, g.in_w};
  const Dims filter = filter_dims(g);
  const Dims output{g.n, g.out_channels, g.out_h, g.out_w};
  Graph graph(p.text());
  try {
    const int64_t x = graph.tensor(type, image, channels_last(image), p.alignment);
    const int64_t w = graph.tensor(by_weight ? data_type(p.filter_gradient_dtype) : type, filter,
                                   filter_strides(g, filter), p.alignment);
    const int64_t y = graph.tensor(type, output, channels_last(output), p.alignment);
    const ConvolutionWindow window{
        {g.pad_h, g.pad_w}, {g.stride_h, g.stride_w}, {g.dilation_h, g.dilation_w}};
    if (p.bias) {
      const Dims row{1, g.out_channels, 1, 1};
      const int64_t b = graph.tensor(type, row, channels_last(row), p.alignment);
      const int64_t sum = graph.inner(CUDNN_DATA_FLOAT, output, channels_last(output));
      graph.convolution(p.pass, window, x, w, sum);
      graph.pointwise(CUDNN_POINTWISE_ADD, sum, b, y);
    } else {
      graph.convolution(p.pass, window, x, w, y, p.accumulate ? 1 : 0);
    }
    graph.finalize(target);
  } catch (const BackendError& error) {
    throw BackendError(error.what(), p.text());
  }
  return graph;
}

}  // namespace sing::cuda::cudnn
