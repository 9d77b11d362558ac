#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// The tape: define-by-run, one node per recorded op. One thread builds and walks a tape.
namespace sing::autograd {

struct Node;

/// What the tape keeps about a tensor: for a leaf its gradient, else the node that made it.
struct Meta {
  bool requires_grad = false;
  Tensor grad;                 // leaves only; later passes add to it
  std::shared_ptr<Node> node;  // nullptr for leaves
};

/// Which inputs want a gradient, by position.
class SING_API Needs {
 public:
  explicit Needs(const Node& node) : node_(node) {}
  bool operator[](size_t input) const;
  /// The dense gradient buffer of input number `input` when it is a leaf that has one, else an
  /// undefined tensor. A backward function may add to it directly (matrix products with beta = 1)
  /// and then returns an undefined tensor in that place. Its dtype may be wider than the leaf's.
  Tensor target(size_t input) const;
  /// Takes what input number `input` has received from its later uses, when another op made it and
  /// gradients have come; else undefined. The backward function then returns the sum of that and
  /// its own gradient, in one write. Read only: others may hold the same tensor.
  Tensor take_received(size_t input) const;

 private:
  const Node& node_;
};

/// One entry per recorded input, in order; undefined where nothing flows (or was added to target).
using GradList = std::vector<Tensor>;
/// grad_out has the shape and dtype of the op's output; any strides.
using BackwardFn = std::function<GradList(const Tensor& grad_out, const Needs& needs)>;

/// A tensor kept for the backward pass: no reference to the tape (so no cycles) and the version
/// that was seen. `get` throws InternalError naming the op when the data were written since.
class SING_API Saved {
 public:
  Saved() = default;
  Saved(const Tensor& tensor);  // NOLINT: a lambda captures `x = Saved(x)`
  const Tensor& get() const;
  const Tensor& operator*() const { return get(); }
  const Tensor* operator->() const { return &get(); }
  explicit operator bool() const { return tensor_.defined(); }

 private:
  Tensor tensor_;
  uint32_t version_ = 0;
};

/// Records one op: returns `out` untouched when gradients are off or no input wants one, else `out`
/// with a node behind it. Undefined inputs (an absent bias) never need a gradient.
/// `op` must be a string literal.
SING_API Tensor record(const char* op, std::span<const Tensor> inputs, Tensor out,
                       BackwardFn backward);
inline Tensor record(const char* op, std::initializer_list<Tensor> inputs, Tensor out,
                     BackwardFn backward) {
  return record(op, std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(out),
                std::move(backward));
}
/// True when an op on these inputs would be recorded: then it has to save what backward needs.
SING_API bool will_record(std::initializer_list<Tensor> inputs);

SING_API bool grad_enabled();
/// No op is recorded on this thread while it lives.
class SING_API NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool before_;
};
/// Ops are recorded again while it lives (activation recomputation inside a backward pass).
class SING_API EnableGradGuard {
 public:
  EnableGradGuard();
  ~EnableGradGuard();
  EnableGradGuard(const EnableGradGuard&) = delete;
  EnableGradGuard& operator=(const EnableGradGuard&) = delete;

 private:
  bool before_;
};

/// to += from (same shape, any floating dtypes, same device).
SING_API void accumulate(Tensor& to, const Tensor& from);

}  // namespace sing::autograd
