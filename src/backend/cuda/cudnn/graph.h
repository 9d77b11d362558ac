#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "backend/cuda/cudnn/descriptor.h"

namespace sing::cuda::cudnn {

using Dims = std::vector<int64_t>;

/// What plans are made for: a device through its handle, or, with no device in the machine, one
/// described by a properties descriptor.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};
/// From the JSON text of a device's properties (all keys of cuDNN's own serialisation are needed).
Descriptor device_properties(const std::string& json);

enum class ConvolutionPass : uint8_t { forward, backward_data, backward_weight };

struct ConvolutionWindow {
  Dims padding, strides, dilations;  // two values each: rows, columns
};

/// One operation as it was asked for. What cuDNN holds cannot be read back, and without a device
/// nothing can be run: tests follow these on the CPU instead.
struct Step {
  enum class Kind : uint8_t { convolution, pointwise, index, matmul, reduce, reshape };
  Kind kind;
  int64_t x, b, y, t;  ///< inputs and output (convolution: image, filter, output); or Graph::kNone
  int mode = 0;        ///< of pointwise and reduce; the axis of an index
  ConvolutionPass pass{};
  ConvolutionWindow window{};
  double beta = 0;
};

/// What is known of a tensor besides its number.
struct TensorInfo {
  cudnnDataType_t type;
  Dims dims, strides;
};

/// Dense row-major strides of `dims`.
Dims packed_strides(const Dims& dims);

/// The largest power of two, at most 16, that divides all of `pointers`.
int64_t alignment_of(std::initializer_list<const void*> pointers);

/// Operations between tensors, put together once and then finalised. Tensors are named by the
/// number that `tensor` and its kin return, which is also their unique id in a variant pack.
class Graph {
 public:
  /// `name` is what error messages call it: op, shape, dtype.
  explicit Graph(std::string name) : name_(std::move(name)) {}

  /// Memory of the caller. `alignment` in bytes is what its pointer is promised to have.
  int64_t tensor(cudnnDataType_t type, Dims dims, Dims strides, int64_t alignment = 16);
  /// A value between two operations, never in memory.
  int64_t inner(cudnnDataType_t type, const Dims& dims);
  int64_t inner(cudnnDataType_t type, const Dims& dims, const Dims& strides);
  /// One number that is read from host memory when the graph runs.
  int64_t scalar(cudnnDataType_t type, size_t rank = 4);
  const Dims& dims(int64_t tensor) const { return info(tensor).dims; }
  const TensorInfo& info(int64_t tensor) const { return tensors_[index(tensor)].info; }
  const std::vector<Step>& steps() const { return steps_; }

  /// y = x * w, grad_x or grad_w of it; computes in f32. `to` = result + beta * to.
  void convolution(ConvolutionPass pass, const ConvolutionWindow& window, int64_t image,
                   int64_t filter, int64_t output, double beta = 0);
  /// y = mode(x[, b[, t]]) with broadcasting of b; `t` is the condition of BINARY_SELECT. Computes
  /// in f32, comparisons in booleans.
  void pointwise(cudnnPointwiseMode_t mode, int64_t x, int64_t b, int64_t y, int64_t t = kNone);
  /// dx = dy times the derivative of an activation at x; `mode` is one of CUDNN_POINTWISE_*_BWD.
  /// Computes in f32.
  void pointwise_gradient(cudnnPointwiseMode_t mode, int64_t x, int64_t dy, int64_t dx);
  /// y = the index along `axis`.
  void gen_index(int64_t axis, int64_t x, int64_t y);
  /// c[.., m, n] = a[.., m, k] b[.., k, n] in f32.
  void matmul(int64_t a, int64_t b, int64_t c);
  /// Over the dimensions that are 1 in y.
  void reduce(cudnnReduceTensorOp_t op, int64_t x, int64_t y);
  /// The same elements under other dimensions and strides (also a transposition).
  void reshape(int64_t x, int64_t y);

  /// Checks the whole. Throws BackendError, as everything here does.
  void finalize(const Target& target);
  const Descriptor& descriptor() const { return *graph_; }
  const std::string& name() const { return name_; }
  static constexpr int64_t kNone = -1;

 private:
  struct Tensor {
    Descriptor descriptor;
    TensorInfo info;
  };
  static size_t index(int64_t tensor) { return static_cast<size_t>(tensor - 1); }
  const Descriptor& at(int64_t tensor) const { return tensors_[index(tensor)].descriptor; }
  int64_t add(cudnnDataType_t type, Dims dims, const Dims& strides, int64_t alignment,
              bool is_virtual, bool by_value);

  std::string name_;
  std::vector<Tensor> tensors_;
  std::vector<Step> steps_;
  std::vector<Descriptor> helpers_, operations_;
  std::optional<Descriptor> graph_;
};

}  // namespace sing::cuda::cudnn
