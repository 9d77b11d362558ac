#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sing/core/export.h"
#include "sing/nn/init.h"
#include "sing/nn/parameter.h"
#include "sing/tensor/state_visitor.h"
#include "sing/tensor/tensor.h"

namespace sing::nn {

/// A part of a network: owns parameters, buffers and further modules, all named. A layer keeps
/// references to what it declares and defines `forward` with the types natural to it:
///
///   class Gate : public nn::Module {
///    public:
///     explicit Gate(int64_t dim) : inner_(child<nn::Linear>("inner", dim, dim)) {}
///     Tensor forward(const Tensor& x) { return ops::mul(x, ops::sigmoid(inner_.forward(x))); }
///    private:
///     nn::Linear& inner_;
///   };
///
/// A module is described when constructed (names, shapes, counts) and gets memory and values from
/// `initialize` on its root. Const methods are thread-safe; forward passes are one thread's.
class SING_API Module {
 public:
  Module();
  virtual ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Depth first: a module's own parameters in order of declaration, then those of its children.
  std::vector<Parameter*> parameters();
  std::vector<const Parameter*> parameters() const;
  /// Running statistics: saved, not trained. The handles share storage with the module. Empty
  /// before `initialize`.
  std::vector<NamedTensor> buffers() const;
  /// This one first, then depth first.
  std::vector<Module*> modules();
  /// nullptr when there is none.
  Parameter* find_parameter(std::string_view name);

  /// What is known of a parameter before it has memory.
  struct Description {
    std::string name;
    Shape shape;
    uint32_t tags;
    bool trainable;
  };
  std::vector<Description> describe() const;
  int64_t parameter_count() const;
  int64_t trainable_count() const;

  /// Allocates every parameter (f32) and buffer and sets their values: those of a parameter depend
  /// on the seed, its full name and the element's index alone. Call it on the root.
  void initialize(uint64_t seed);
  bool initialized() const;

  void train(bool on = true);
  bool training() const { return training_; }

  /// Masters, buffers and working tensors to a floating dtype (f64 in tests). Gradients are
  /// dropped.
  void to(DType dtype);
  void to(Device device);
  /// What layers read: bf16 (or f16) copies of the masters, or the masters themselves (f32).
  /// Parameters marked keep_wide (batch norm: its op takes them wider than the images) are always
  /// read as they are. Gradients keep the dtype of the master and survive the change; make their
  /// buffer first (optim::ParamTable does), since a leaf without one collects in its own dtype.
  void set_precision(DType dtype);
  /// Rewrites the working copies from the masters, for those who change masters by hand.
  void sync_working();

  /// Shows every master and buffer by name (checkpoints read and write through this). The visitor
  /// may write into them; call `sync_working` after it did.
  void visit_state(StateVisitor& visitor);

  /// Full name: "blocks.3.attn"; "" for the root.
  const std::string& path() const { return path_; }

 protected:
  /// Declares a parameter. The reference is stable.
  Parameter& parameter(std::string name, const Shape& shape, const Init& init, uint32_t tags);
  Parameter& parameter(std::string name, const Shape& shape, const Init& init, Tag tag) {
    return parameter(std::move(name), shape, init, static_cast<uint32_t>(tag));
  }
  /// Declares a buffer, filled with `value` by `initialize`. Integer buffers keep their dtype in
  /// `to`. The reference is stable.
  Tensor& buffer(std::string name, const Shape& shape, double value, DType dtype = DType::f32);
  /// Builds a module of this one's and names it; the name may contain dots ("blocks.3").
  template <class M, class... Arguments>
  M& child(std::string name, Arguments&&... arguments) {
    auto owned = std::make_unique<M>(std::forward<Arguments>(arguments)...);
    M& result = *owned;
    adopt(std::move(name), std::move(owned));
    return result;
  }
  /// Position of this module's random numbers: the hash of its full name.
  uint64_t path_hash() const { return path_hash_; }

 private:
  struct ParameterEntry {
    Parameter parameter;
    Shape shape;
    Init init;
  };
  struct BufferEntry {
    std::string name;
    Tensor tensor;
    Shape shape;
    double value;
    DType dtype;
  };
  void adopt(std::string name, std::unique_ptr<Module> module);
  void prepend_path(const std::string& prefix);
  template <class Self, class F>
  static void walk(Self& self, const F& visit);

  std::deque<ParameterEntry> parameters_;
  std::deque<BufferEntry> buffers_;
  std::vector<std::unique_ptr<Module>> children_;
  std::string path_;
  uint64_t path_hash_ = 0;
  bool training_ = true;
};

}  // namespace sing::nn
