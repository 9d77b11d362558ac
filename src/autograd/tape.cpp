#include "sing/autograd/tape.h"

#include <algorithm>
#include <utility>

#include "autograd/node.h"
#include "kernels/elementwise.h"
#include "kernels/memory.h"
#include "sing/backend/layer_scope.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::autograd {
namespace {

thread_local bool t_grad_enabled = true;
thread_local uint64_t t_sequence = 0;
thread_local const char* t_running_op = "backward";

bool wants_grad(const Tensor& t) {
  return t.defined() && t.autograd_meta() != nullptr && t.autograd_meta()->requires_grad;
}

}  // namespace

// A graph that was never walked would be destroyed by recursion as deep as the graph: flatten it.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> orphans;
  const auto take = [&orphans](Node& node) {
    for (Edge& edge : node.inputs) {
      if (!edge.meta) continue;
      if (edge.meta->node && edge.meta.use_count() == 1)
        orphans.push_back(std::move(edge.meta->node));
      edge.meta.reset();
    }
    node.backward = nullptr;
  };
  take(*this);
  while (!orphans.empty()) {
    const std::shared_ptr<Node> node = std::move(orphans.back());
    orphans.pop_back();
    if (node.use_count() == 1) take(*node);
  }
}

bool Needs::operator[](size_t input) const {
  return node_.inputs[input].meta != nullptr;
}

Tensor Needs::target(size_t input) const {
  const Edge& edge = node_.inputs[input];
  if (!edge.meta || edge.meta->node || !edge.meta->grad.defined()) return {};
  return edge.meta->grad.is_contiguous() ? edge.meta->grad : Tensor();
}

Tensor Needs::take_received(size_t input) const {
  const Edge& edge = node_.inputs[input];
  if (!edge.meta || !edge.meta->node) return {};
  return std::exchange(edge.meta->node->pending, Tensor());
}

Saved::Saved(const Tensor& tensor)
    : tensor_(tensor.defined() ? tensor.detach() : Tensor()),
      version_(tensor.defined() ? tensor.storage()->version() : 0) {}

const Tensor& Saved::get() const {
  const uint32_t now = tensor_.storage()->version();
  if (now != version_)
    throw InternalError(std::string(t_running_op) +
                        ": a saved tensor was modified in place before backward (version " +
                        std::to_string(now) + ", saved at " + std::to_string(version_) + ")");
  return tensor_;
}

bool will_record(std::initializer_list<Tensor> inputs) {
  return t_grad_enabled && std::any_of(inputs.begin(), inputs.end(), wants_grad);
}

Tensor record(const char* op, std::span<const Tensor> inputs, Tensor out, BackwardFn backward) {
  if (!t_grad_enabled || !std::any_of(inputs.begin(), inputs.end(), wants_grad)) return out;
  auto node = std::make_shared<Node>();
  node->op = op;
  node->layer = backend::layer();
  node->sequence = ++t_sequence;
  node->backward = std::move(backward);
  node->inputs.reserve(inputs.size());
  for (const Tensor& input : inputs) {
    Edge edge;
    if (wants_grad(input)) {
      edge.meta = input.autograd_meta();
      edge.shape = input.shape();
      edge.dtype = input.dtype();
    }
    node->inputs.push_back(std::move(edge));
  }
  auto meta = std::make_shared<Meta>();
  meta->requires_grad = true;
  meta->node = std::move(node);
  if (out.autograd_meta()) out = out.detach();  // an op that returned its input
  out.set_autograd_meta(std::move(meta));
  return out;
}

bool grad_enabled() {
  return t_grad_enabled;
}
NoGradGuard::NoGradGuard() : before_(t_grad_enabled) {
  t_grad_enabled = false;
}
NoGradGuard::~NoGradGuard() {
  t_grad_enabled = before_;
}
EnableGradGuard::EnableGradGuard() : before_(t_grad_enabled) {
  t_grad_enabled = true;
}
EnableGradGuard::~EnableGradGuard() {
  t_grad_enabled = before_;
}

void accumulate(Tensor& to, const Tensor& from) {
  if (to.shape() != from.shape())
    throw InternalError(std::string(t_running_op) + ": a gradient has shape " +
                        to_string(from.shape()) + ", wanted " + to_string(to.shape()));
  kernels::StridedCopyArgs a{};
  a.to = to.mutable_raw();
  a.from = from.raw();
  a.to_dtype = to.dtype();
  a.from_dtype = from.dtype();
  a.rank = to.rank();
  std::copy(to.shape().begin(), to.shape().end(), a.dims.begin());
  std::copy(to.strides().begin(), to.strides().end(), a.to_strides.begin());
  std::copy(from.strides().begin(), from.strides().end(), a.from_strides.begin());
  a.accumulate = true;
  kernels::strided_copy(to.device().type, a);
}

namespace {

/// a + b of one dtype and dense layout, in one pass; undefined for others.
Tensor dense_sum(const Tensor& a, const Tensor& b) {
  const bool dense = a.is_contiguous() || a.is_channels_last();
  if (!dense || a.numel() == 0 || a.dtype() != b.dtype() || !is_floating(a.dtype()) ||
      !std::ranges::equal(a.strides(), b.strides()))
    return {};
  Tensor sum = empty_like(a);
  kernels::BinaryArgs args{};
  args.out = sum.mutable_raw();
  args.a = a.raw();
  args.b = b.raw();
  args.dtype = a.dtype();
  args.op = kernels::BinaryOp::add;
  args.walk.dims[0] = a.numel();
  for (auto& strides : args.walk.strides) strides[0] = 1;
  kernels::binary(a.device().type, args);
  return sum;
}

/// Adds `gradient` to what a node will receive. The first one is borrowed; with a second their sum
/// is a new tensor.
void deliver(Node& node, const Tensor& gradient) {
  if (!node.pending.defined()) {
    node.pending = gradient;
    node.owns_pending = false;
    return;
  }
  if (!node.owns_pending) {
    node.owns_pending = true;
    if (const Tensor sum = dense_sum(node.pending, gradient); sum.defined()) {
      node.pending = sum;
      return;
    }
    node.pending = node.pending.clone();
  }
  accumulate(node.pending, gradient);
}

void deliver_to_leaf(Meta& leaf, const Edge& edge, const Tensor& gradient) {
  if (!leaf.grad.defined()) {
    leaf.grad = gradient.dtype() == edge.dtype ? gradient.clone() : gradient.to(edge.dtype);
    return;
  }
  accumulate(leaf.grad, gradient);
}

bool older(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) {
  return a->sequence < b->sequence;
}

void run(Node& node, std::vector<std::shared_ptr<Node>>& heap) {
  t_running_op = node.op;
  const backend::LayerScope layer(node.layer);
  const backend::OpScope scope(node.op);
  if (!node.backward)
    throw InternalError(std::string(node.op) +
                        ": backward ran twice through the same op; its saved tensors are gone");
  const Tensor gradient = std::exchange(node.pending, Tensor());
  node.queued = false;
  GradList gradients = node.backward(gradient, Needs(node));
  node.backward = nullptr;  // releases the saved tensors
  SING_ASSERT(gradients.size() == node.inputs.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Edge& edge = node.inputs[i];
    if (!edge.meta || !gradients[i].defined()) continue;
    if (gradients[i].shape() != edge.shape)
      throw InternalError(std::string(node.op) + ": the gradient of input " + std::to_string(i) +
                          " has shape " + to_string(gradients[i].shape()) + ", wanted " +
                          to_string(edge.shape));
    if (edge.meta->node == nullptr) {
      deliver_to_leaf(*edge.meta, edge, gradients[i]);
      continue;
    }
    deliver(*edge.meta->node, gradients[i]);
    if (!std::exchange(edge.meta->node->queued, true)) {
      heap.push_back(edge.meta->node);
      std::push_heap(heap.begin(), heap.end(), older);
    }
    gradients[i] = Tensor();
  }
}

}  // namespace

void run_backward(const Tensor& root, const Tensor& gradient) {
  const auto& meta = root.autograd_meta();
  if (!meta || !meta->requires_grad)
    throw InternalError(
        "backward: the tensor does not depend on anything that requires a gradient");
  if (!gradient.defined() && root.numel() != 1)
    throw ShapeError("backward: a gradient of shape " + to_string(root.shape()) +
                     " is needed for a tensor with more than one element");
  if (gradient.defined() && gradient.shape() != root.shape())
    throw ShapeError("backward: the gradient must have shape " + to_string(root.shape()) +
                     "; got " + to_string(gradient.shape()));
  const backend::MemoryScope memory(backend::memory_purpose(), "backward");
  const NoGradGuard no_grad;  // backward functions use ops; nothing of them is recorded
  const Tensor start =
      gradient.defined()
          ? gradient.detach()
          : Tensor::full(root.shape(), 1.0, {.dtype = root.dtype(), .device = root.device()});
  if (!meta->node) {
    Edge edge{meta, root.shape(), root.dtype()};
    deliver_to_leaf(*meta, edge, start);
    return;
  }
  // Newest first is a valid order: an op's inputs were made before it. No recursion, no visited
  // set.
  std::vector<std::shared_ptr<Node>> heap{meta->node};
  deliver(*meta->node, start);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), older);
    const std::shared_ptr<Node> node = std::move(heap.back());
    heap.pop_back();
    run(*node, heap);
  }
  t_running_op = "backward";
}

}  // namespace sing::autograd
