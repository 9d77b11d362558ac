// The members of Tensor that speak to the tape.
#include "autograd/node.h"
#include "sing/core/error.h"

namespace sing {

bool Tensor::requires_grad() const {
  return autograd_meta() != nullptr && autograd_meta()->requires_grad;
}

Tensor& Tensor::set_requires_grad(bool on) {
  if (on && !is_floating(dtype()))
    throw DTypeError("only floating tensors have gradients, not " + std::string(name_of(dtype())));
  if (autograd_meta() && autograd_meta()->node)
    throw InternalError("set_requires_grad: the tensor was made by " +
                        std::string(autograd_meta()->node->op) + "; detach it first");
  if (!autograd_meta()) {
    if (!on) return *this;
    set_autograd_meta(std::make_shared<autograd::Meta>());
  }
  autograd_meta()->requires_grad = on;
  return *this;
}

const Tensor& Tensor::grad() const {
  static const Tensor undefined;
  return autograd_meta() ? autograd_meta()->grad : undefined;
}

void Tensor::set_grad(Tensor gradient) {
  if (gradient.defined() && gradient.shape() != shape())
    throw ShapeError("set_grad: wanted shape " + to_string(shape()) + "; got " +
                     to_string(gradient.shape()));
  if (!autograd_meta()) set_autograd_meta(std::make_shared<autograd::Meta>());
  autograd_meta()->grad = std::move(gradient);
}

void Tensor::backward(const Tensor& gradient) const {
  autograd::run_backward(*this, gradient);
}

}  // namespace sing
