#include "cuda/plans/follow_graph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "sing/core/error.h"

namespace sing::test {
namespace {

using cuda::cudnn::ConvolutionPass;
using cuda::cudnn::Dims;
using cuda::cudnn::Graph;
using cuda::cudnn::Step;

/// One tensor while a step runs.
class View {
 public:
  View(const Graph& graph, GraphMemory& memory, int64_t id)
      : dims_(graph.info(id).dims), strides_(graph.info(id).strides), data_(memory[id]) {
    size_t size = 1;
    for (size_t d = 0; d < dims_.size(); ++d)
      size += static_cast<size_t>((dims_[d] - 1) * strides_[d]);
    if (data_.size() < size) data_.resize(size);
  }
  const Dims& dims() const { return dims_; }
  std::vector<double>& data() const { return data_; }
  /// Dimensions of size 1 broadcast.
  double& at(const Dims& index) const {
    int64_t offset = 0;
    for (size_t d = 0; d < dims_.size(); ++d)
      if (dims_[d] > 1) offset += index[d] * strides_[d];
    return data_.at(static_cast<size_t>(offset));
  }

 private:
  const Dims &dims_, &strides_;
  std::vector<double>& data_;
};

/// In row-major order.
template <class F>
void for_each_index(const Dims& dims, const F& f) {
  for (const int64_t size : dims)
    if (size == 0) return;
  Dims i(dims.size());
  for (bool more = true; more;) {
    f(i);
    more = false;
    for (size_t d = dims.size(); !more && d-- > 0;) {
      more = ++i[d] < dims[d];
      if (!more) i[d] = 0;
    }
  }
}

/// Exact GELU and its derivative.
double gelu(double x) {
  return 0.5 * x * std::erfc(-x * std::numbers::sqrt2 / 2);
}
double gelu_slope(double x) {
  const double density = std::exp(-0.5 * x * x) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
  return 0.5 * std::erfc(-x * std::numbers::sqrt2 / 2) + x * density;
}

double pointwise(int mode, double x, double b, double t) {
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
      return x + b;
    case CUDNN_POINTWISE_SUB:
      return x - b;
    case CUDNN_POINTWISE_MUL:
      return x * b;
    case CUDNN_POINTWISE_DIV:
      return x / b;
    case CUDNN_POINTWISE_EXP:
      return std::exp(x);
    case CUDNN_POINTWISE_LOG:
      return std::log(x);
    case CUDNN_POINTWISE_IDENTITY:
      return x;
    case CUDNN_POINTWISE_GELU_FWD:
      return gelu(x);
    case CUDNN_POINTWISE_GELU_BWD:
      return b * gelu_slope(x);
    case CUDNN_POINTWISE_CMP_GE:
      return x >= b ? 1 : 0;
    case CUDNN_POINTWISE_BINARY_SELECT:
      return t != 0 ? x : b;
    default:
      throw InternalError("no definition for pointwise mode " + std::to_string(mode));
  }
}

void matmul(const View& a, const View& b, const View& c) {
  for_each_index(c.dims(), [&](const Dims& i) {
    const size_t row = i.size() - 2, column = i.size() - 1;
    Dims left = i, right = i;
    double sum = 0;
    for (int64_t k = 0; k < a.dims()[column]; ++k) {
      left[column] = right[row] = k;
      sum += a.at(left) * b.at(right);
    }
    c.at(i) = sum;
  });
}

void reduce(int mode, const View& x, const View& y) {
  const bool largest = mode == CUDNN_REDUCE_TENSOR_MAX;
  if (!largest && mode != CUDNN_REDUCE_TENSOR_ADD) throw InternalError("no such reduction");
  const double first = largest ? -std::numeric_limits<double>::infinity() : 0;
  for_each_index(y.dims(), [&](const Dims& i) { y.at(i) = first; });
  for_each_index(x.dims(), [&](const Dims& i) {
    double& to = y.at(i);
    to = largest ? std::max(to, x.at(i)) : to + x.at(i);
  });
}

/// Calls f(image, filter, output index) for every product a convolution is made of.
template <class F>
void for_each_product(const Step& step, const View& image, const View& filter, const View& output,
                      const F& f) {
  const int64_t in_group = filter.dims()[1];
  const int64_t out_group = filter.dims()[0] / (image.dims()[1] / in_group);
  for_each_index(output.dims(), [&](const Dims& o) {
    for_each_index({1, in_group, filter.dims()[2], filter.dims()[3]}, [&](const Dims& k) {
      const auto& w = step.window;
      const int64_t h = o[2] * w.strides[0] - w.padding[0] + k[2] * w.dilations[0];
      const int64_t v = o[3] * w.strides[1] - w.padding[1] + k[3] * w.dilations[1];
      if (h < 0 || v < 0 || h >= image.dims()[2] || v >= image.dims()[3]) return;
      f(Dims{o[0], o[1] / out_group * in_group + k[1], h, v}, Dims{o[1], k[1], k[2], k[3]}, o);
    });
  });
}

void convolution(const Step& step, const View& image, const View& filter, const View& output) {
  const bool forward = step.pass == ConvolutionPass::forward;
  const View& to = forward ? output : step.pass == ConvolutionPass::backward_data ? image : filter;
  for_each_index(to.dims(), [&](const Dims& i) { to.at(i) *= step.beta; });
  for_each_product(step, image, filter, output, [&](const Dims& i, const Dims& f, const Dims& o) {
    if (forward)
      output.at(o) += image.at(i) * filter.at(f);
    else if (step.pass == ConvolutionPass::backward_data)
      image.at(i) += output.at(o) * filter.at(f);
    else
      filter.at(f) += output.at(o) * image.at(i);
  });
}

}  // namespace

void follow(const Graph& graph, GraphMemory& memory) {
  for (const Step& step : graph.steps()) {
    const View x(graph, memory, step.x), y(graph, memory, step.y);
    const View b(graph, memory, step.b == Graph::kNone ? step.x : step.b);
    const View t(graph, memory, step.t == Graph::kNone ? step.x : step.t);
    switch (step.kind) {
      case Step::Kind::convolution:
        convolution(step, x, b, y);
        break;
      case Step::Kind::pointwise:
        for_each_index(y.dims(), [&](const Dims& i) {
          y.at(i) = pointwise(step.mode, x.at(i), b.at(i), t.at(i));
        });
        break;
      case Step::Kind::index:
        for_each_index(y.dims(), [&](const Dims& i) {
          y.at(i) = static_cast<double>(i[static_cast<size_t>(step.mode)]);
        });
        break;
      case Step::Kind::matmul:
        matmul(x, b, y);
        break;
      case Step::Kind::reduce:
        reduce(step.mode, x, y);
        break;
      case Step::Kind::reshape:  // the same memory, walked by other strides
        y.data() = x.data();
        break;
    }
  }
}

}  // namespace sing::test
