#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/nn/parameter.h"
#include "sing/optim/group.h"
#include "sing/tensor/state_visitor.h"

namespace sing::optim {

/// What transforms and hosts know about one trained tensor. A row is one index of dimension 0.
struct TensorMeta {
  std::string name;
  Shape shape;
  uint32_t tags = 0;
  DType dtype = DType::f32;
  int64_t rows = 1;  ///< first dimension; 1 for rank 0
  int64_t cols = 1;  ///< elements of a row
  int group = 0;     ///< 0: no rule matched, else number of the rule + 1
  /// Rank 4 stored as dimensions 0, 2, 3, 1; everything else is stored row after row.
  bool channels_last = false;

  int rank() const { return shape.rank(); }
  int64_t numel() const { return shape.numel(); }
};

/// The trained tensors of a run, in the order given, each once. Their gradients are slices of one
/// buffer, into which backward passes add. Parameters frozen by a rule (or not trainable already)
/// are not in the table.
class SING_API ParamTable {
 public:
  /// The first rule that matches a parameter decides. Values are f32, or all f64; contiguous or
  /// channels-last; on one device. Sets up `working` to collect gradients in the table's buffer.
  /// Throws ConfigError when a rule matches no parameter or nothing is left to train, DTypeError,
  /// ShapeError and DeviceError for values it cannot hold.
  explicit ParamTable(std::span<nn::Parameter* const> parameters,
                      std::span<const GroupRule> rules = {});
  ParamTable(const ParamTable&) = delete;
  ParamTable& operator=(const ParamTable&) = delete;

  size_t size() const { return tensors_.size(); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  const TensorMeta& meta(size_t i) const { return tensors_[i].meta; }
  std::span<const TensorMeta> metas() const { return metas_; }
  nn::Parameter& parameter(size_t i) const { return *tensors_[i].parameter; }
  const GroupRule& group(int number) const { return groups_[static_cast<size_t>(number)]; }
  size_t groups() const { return groups_.size(); }
  /// Index of the tensor of that name, -1 when it is not in the table.
  int find(std::string_view name) const;
  int64_t numel() const { return numel_; }   ///< trained elements
  size_t frozen() const { return frozen_; }  ///< parameters left out

  /// The gradient of tensor i: same shape and strides as its value, dtype of the table.
  Tensor gradient(size_t i) const { return tensors_[i].gradient; }
  /// Clears all gradients at once; until something is added to it a tensor counts as missing.
  void zero_grad();
  /// False when no backward pass reached tensor i since the last zero_grad: such a tensor is
  /// skipped by a step. Seen from the write counter of its gradient.
  bool present(size_t i) const;
  /// Says so explicitly, until the next zero_grad.
  void set_present(size_t i, bool present);

  /// A dense buffer as long as all tensors together, cut like the gradients; zero. With `wanted`
  /// (by tensor) only as long as those, and the slices of the others are undefined tensors.
  struct Buffer {
    Tensor flat;
    std::vector<Tensor> slices;  ///< by tensor: shape and strides of its value
  };
  Buffer make_buffer(std::span<const uint8_t> wanted = {}) const;

  /// Partial gradients (between the passes of one accumulated update) and which are there.
  void visit_gradients(StateVisitor& visitor);

 private:
  enum class Presence : uint8_t { by_version, yes, no };
  struct Entry {
    TensorMeta meta;
    nn::Parameter* parameter = nullptr;
    Tensor gradient;
    uint32_t version_at_clear = 0;
    Presence presence = Presence::by_version;
    /// Slices of a buffer start on cache lines.
    int64_t padded() const { return (meta.numel() + 15) / 16 * 16; }
  };
  void take(nn::Parameter& parameter, int group);

  std::vector<Entry> tensors_;
  std::vector<TensorMeta> metas_;
  std::vector<GroupRule> groups_;  // [0]: the default group
  Buffer gradients_;
  DType dtype_ = DType::f32;
  Device device_;
  int64_t numel_ = 0;
  size_t frozen_ = 0;
};

}  // namespace sing::optim
