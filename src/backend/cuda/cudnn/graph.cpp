#include "backend/cuda/cudnn/graph.h"

#include <utility>

#include "sing/core/error.h"

namespace sing::cuda::cudnn {
namespace {

struct ConvolutionNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t window, image, filter, output, alpha, beta;
};

ConvolutionNames names_of(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvolutionPass::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionPass::backward_weight:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

}  // namespace

Descriptor device_properties(const std::string& json) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 static_cast<int64_t>(json.size()) + 1, json.c_str());
  properties.finalize();
  return properties;
}

Dims packed_strides(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

int64_t alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 16;
  for (const void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return static_cast<int64_t>(bits & (~bits + 1));  // the lowest bit that is set
}

int64_t Graph::add(cudnnDataType_t type, Dims dims, const Dims& strides, int64_t alignment,
                   bool is_virtual, bool by_value) {
  const auto id = static_cast<int64_t>(tensors_.size()) + 1;
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, strides)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  if (is_virtual) d.set_flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  if (by_value) d.set_flag(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  d.finalize();
  tensors_.push_back({std::move(d), {type, std::move(dims), strides}});
  return id;
}

int64_t Graph::tensor(cudnnDataType_t type, Dims dims, Dims strides, int64_t alignment) {
  return add(type, std::move(dims), strides, alignment, false, false);
}

int64_t Graph::inner(cudnnDataType_t type, const Dims& dims) {
  return add(type, dims, packed_strides(dims), 16, true, false);
}

int64_t Graph::inner(cudnnDataType_t type, const Dims& dims, const Dims& strides) {
  return add(type, dims, strides, 16, true, false);
}

int64_t Graph::scalar(cudnnDataType_t type, size_t rank) {
  return add(type, Dims(rank, 1), Dims(rank, 1), 16, false, true);
}

void Graph::convolution(ConvolutionPass pass, const ConvolutionWindow& window, int64_t image,
                        int64_t filter, int64_t output, double beta) {
  steps_.push_back({Step::Kind::convolution, image, filter, output, kNone, 0, pass, window, beta});
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  Descriptor& shape = helpers_.emplace_back(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  shape.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, window.padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, window.padding)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, window.strides)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, window.dilations)
      .finalize();
  const ConvolutionNames names = names_of(pass);
  const double alpha = 1;
  operations_.emplace_back(names.operation)
      .set(names.window, shape)
      .set(names.image, at(image))
      .set(names.filter, at(filter))
      .set(names.output, at(output))
      .set(names.alpha, CUDNN_TYPE_DOUBLE, 1, &alpha)
      .set(names.beta, CUDNN_TYPE_DOUBLE, 1, &beta)
      .finalize();
}

void Graph::pointwise(cudnnPointwiseMode_t mode, int64_t x, int64_t b, int64_t y, int64_t t) {
  steps_.push_back({Step::Kind::pointwise, x, b, y, t, mode});
  Descriptor& what = helpers_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  const bool compares = mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_CMP_LE;
  what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, compares ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_FLOAT)
      .finalize();
  Descriptor& op = operations_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(x))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(y));
  if (b != kNone) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, at(b));
  if (t != kNone) op.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, at(t));
  op.finalize();
}

void Graph::pointwise_gradient(cudnnPointwiseMode_t mode, int64_t x, int64_t dy, int64_t dx) {
  steps_.push_back({Step::Kind::pointwise, x, dy, dx, kNone, mode});
  Descriptor& what = helpers_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT)
      .finalize();
  operations_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(x))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, at(dy))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, at(dx))
      .finalize();
}

void Graph::gen_index(int64_t axis, int64_t x, int64_t y) {
  steps_.push_back({Step::Kind::index, x, kNone, y, kNone, static_cast<int>(axis)});
  const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_GEN_INDEX;
  Descriptor& what = helpers_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_INT32)
      .set(CUDNN_ATTR_POINTWISE_AXIS, axis)
      .finalize();
  operations_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(x))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(y))
      .finalize();
}

void Graph::matmul(int64_t a, int64_t b, int64_t c) {
  steps_.push_back({Step::Kind::matmul, a, b, c, kNone});
  const double padding = 0;  // rows and columns beyond the operands, up to a whole tile
  Descriptor& what = helpers_.emplace_back(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  what.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_MATMUL_PADDING_VALUE, CUDNN_TYPE_DOUBLE, 1, &padding)
      .finalize();
  operations_.emplace_back(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, what)
      .set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(a))
      .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(b))
      .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(c))
      .finalize();
}

void Graph::reduce(cudnnReduceTensorOp_t op, int64_t x, int64_t y) {
  steps_.push_back({Step::Kind::reduce, x, kNone, y, kNone, op});
  Descriptor& what = helpers_.emplace_back(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  what.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &op)
      .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .finalize();
  operations_.emplace_back(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, what)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(x))
      .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(y))
      .finalize();
}

void Graph::reshape(int64_t x, int64_t y) {
  steps_.push_back({Step::Kind::reshape, x, kNone, y, kNone});
  operations_.emplace_back(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(x))
      .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(y))
      .finalize();
}

void Graph::finalize(const Target& target) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& operation : operations_) raw.push_back(operation.get());
  Descriptor& graph = graph_.emplace(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, raw);
  if (target.handle != nullptr) graph.set_handle(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.finalize();
}

}  // namespace sing::cuda::cudnn
