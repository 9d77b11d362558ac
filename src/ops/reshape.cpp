#include "sing/ops/reshape.h"

#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;

/// Records a view whose gradient is another view of grad.
template <class Back>
Tensor record_view(const char* name, const Tensor& x, Tensor out, Back back) {
  return autograd::record(name, {x}, std::move(out), [back](const Tensor& grad, const Needs&) {
    return GradList{back(grad)};
  });
}

/// Of one shape, as a view when possible.
Tensor viewed(const Tensor& x, const Shape& shape) {
  if (x.is_contiguous()) return x.view(shape);
  try {
    return x.view(shape);
  } catch (const ShapeError&) {
    return x.contiguous().view(shape);
  }
}

Shape resolved(const Tensor& x, const std::vector<int64_t>& dims) {
  std::vector<int64_t> sizes = dims;
  const auto wanted = [&] {
    std::string text = "(";
    for (size_t i = 0; i < dims.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
    return text + ")";
  };
  std::vector<int64_t> given;
  int64_t* open = nullptr;
  for (int64_t& n : sizes) {
    if (n >= 0) {
      given.push_back(n);
      continue;
    }
    if (n != -1 || open != nullptr)
      throw ShapeError("reshape: wanted sizes and at most one -1; got " + wanted());
    open = &n;
  }
  const int64_t known = checked_numel(given);
  const bool fits = open != nullptr ? known > 0 && x.numel() % known == 0 : known == x.numel();
  if (!fits)
    throw ShapeError("reshape: wanted " + std::to_string(x.numel()) + " elements as in " +
                     to_string(x.shape()) + "; got " + wanted());
  if (open != nullptr) *open = x.numel() / known;
  return Shape(std::span<const int64_t>(sizes));
}

}  // namespace

Tensor reshape(const Tensor& x, const std::vector<int64_t>& dims) {
  const backend::OpScope scope("reshape");
  return record_view("reshape", x, viewed(x, resolved(x, dims)),
                     [shape = x.shape()](const Tensor& grad) { return viewed(grad, shape); });
}

Tensor flatten(const Tensor& x, int first, int last) {
  if (x.rank() == 0) return reshape(x, {1});
  const int from = x.shape().normalized(first), to = x.shape().normalized(last);
  if (from > to)
    throw ShapeError("flatten: wanted first <= last; got " + std::to_string(first) + " and " +
                     std::to_string(last));
  std::vector<int64_t> dims;
  for (int d = 0; d < from; ++d) dims.push_back(x.size(d));
  dims.push_back(x.shape().numel_between(from, to + 1));
  for (int d = to + 1; d < x.rank(); ++d) dims.push_back(x.size(d));
  return reshape(x, dims);
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  Tensor out = x.permute(std::span<const int>(order));
  std::vector<int> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<size_t>(x.shape().normalized(order[i]))] = static_cast<int>(i);
  return record_view("permute", x, std::move(out), [inverse](const Tensor& grad) {
    return grad.permute(std::span<const int>(inverse));
  });
}

Tensor permuted_copy(const Tensor& x, const std::vector<int>& order, DType dtype) {
  const backend::OpScope scope("permuted_copy");
  const auto copied = [](const Tensor& from, const std::vector<int>& to_order, DType to) {
    const Tensor view = from.permute(std::span<const int>(to_order));
    if (view.is_contiguous() && view.dtype() == to) return view;
    Tensor out = Tensor::empty(view.shape(), {.dtype = to, .device = view.device()});
    out.copy_from(view);
    return out;
  };
  check_floating("permuted_copy", x);
  if (!is_floating(dtype))
    throw DTypeError("permuted_copy: wanted a floating dtype; got " + std::string(name_of(dtype)));
  const Tensor out = copied(x, order, dtype);
  std::vector<int> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<size_t>(x.shape().normalized(order[i]))] = static_cast<int>(i);
  return record_view("permuted_copy", x, out,
                     [copied, inverse, from = x.dtype()](const Tensor& grad) {
                       return copied(grad, inverse, from);
                     });
}

Tensor transpose(const Tensor& x, int a, int b) {
  return record_view("transpose", x, x.transpose(a, b),
                     [a, b](const Tensor& grad) { return grad.transpose(a, b); });
}

Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length) {
  return autograd::record(
      "narrow", {x}, x.narrow(dim, start, length),
      [shape = x.shape(), dim, start, length](const Tensor& grad, const Needs& needs) {
        if (Tensor target = needs.target(0); target.defined()) {
          Tensor part = target.narrow(dim, start, length);
          autograd::accumulate(part, grad);
          return GradList(1);
        }
        Tensor dx = Tensor::zeros(shape, {.dtype = grad.dtype(), .device = grad.device()});
        dx.narrow(dim, start, length).copy_from(grad);
        return GradList{dx};
      });
}

Tensor select(const Tensor& x, int dim, int64_t index) {
  return squeeze(narrow(x, dim, index, 1), dim);
}

Tensor expand(const Tensor& x, const Shape& shape) {
  return autograd::record(
      "expand", {x}, x.expand(shape), [of = x.shape()](const Tensor& grad, const Needs& needs) {
        return GradList{sum_to(grad, of, of == grad.shape() ? Tensor() : needs.target(0))};
      });
}

Tensor squeeze(const Tensor& x, int dim) {
  return record_view(
      "squeeze", x, x.squeeze(dim),
      [d = x.shape().normalized(dim)](const Tensor& grad) { return grad.unsqueeze(d); });
}

Tensor unsqueeze(const Tensor& x, int dim) {
  Tensor out = x.unsqueeze(dim);
  const int d = out.shape().normalized(dim);
  return record_view("unsqueeze", x, std::move(out),
                     [d](const Tensor& grad) { return grad.squeeze(d); });
}

Tensor contiguous(const Tensor& x, MemoryFormat format) {
  const backend::OpScope scope("contiguous");
  Tensor out = x.contiguous(format);
  if (out.same_as(x)) return x;
  return record_view("contiguous", x, std::move(out), [](const Tensor& grad) { return grad; });
}

Tensor cast(const Tensor& x, DType dtype) {
  const backend::OpScope scope("cast");
  if (is_floating(x.dtype()) && is_floating(dtype)) return autocast::cast(x, dtype);
  return x.dtype() == dtype ? x : x.to(dtype);
}

}  // namespace sing::ops
