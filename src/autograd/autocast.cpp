#include "sing/autograd/autocast.h"

#include "sing/autograd/tape.h"
#include "sing/core/error.h"

namespace sing::autocast {
namespace {
thread_local std::optional<DType> t_dtype;
}

std::optional<DType> dtype() {
  return t_dtype;
}
Guard::Guard(std::optional<DType> dtype) : before_(t_dtype) {
  t_dtype = dtype;
}
Guard::~Guard() {
  t_dtype = before_;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (!is_floating(dtype) || !is_floating(x.dtype()))
    throw DTypeError("cast: wanted floating dtypes; got " + std::string(name_of(x.dtype())) +
                     " to " + std::string(name_of(dtype)));
  return autograd::record("cast", {x}, x.to(dtype),
                          [from = x.dtype()](const Tensor& grad, const autograd::Needs&) {
                            return autograd::GradList{grad.to(from)};
                          });
}

Tensor input(const Tensor& x, Policy policy) {
  if (!t_dtype || !x.defined() || policy == Policy::keep) return x;
  if (policy == Policy::lower) return x.dtype() == DType::f32 ? cast(x, *t_dtype) : x;
  return x.dtype() == DType::bf16 || x.dtype() == DType::f16 ? cast(x, DType::f32) : x;
}

}  // namespace sing::autocast
