#include "kernels/memory.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/ops/reshape.h"

namespace sing::ops {
namespace {

using autograd::GradList;
using autograd::Needs;

/// The shape of all parts together.
Shape joined(const std::vector<Tensor>& parts, int d) {
  const Tensor& first = parts[0];
  int64_t length = 0;
  for (const Tensor& part : parts) {
    if (part.dtype() != first.dtype())
      throw DTypeError("concat: wanted one dtype; got " + describe(first) + " and " +
                       describe(part));
    if (part.rank() != first.rank() || part.shape().with(d, 0) != first.shape().with(d, 0))
      throw ShapeError("concat: wanted equal sizes except along dimension " + std::to_string(d) +
                       "; got " + to_string(first.shape()) + " and " + to_string(part.shape()));
    length += part.size(d);
  }
  return first.shape().with(d, length);
}

/// A view of x that runs backwards along d, copied: Tensor has no negative strides, the copy
/// kernel does.
Tensor reversed(const Tensor& x, int d) {
  Tensor out = Tensor::empty(x.shape(), {.dtype = x.dtype(), .device = x.device()});
  if (x.numel() == 0) return out;
  kernels::StridedCopyArgs args{};
  args.to = out.mutable_raw();
  args.to_dtype = args.from_dtype = x.dtype();
  args.rank = x.rank();
  for (size_t i = 0; i < static_cast<size_t>(x.rank()); ++i) {
    args.dims[i] = x.shape().dims()[i];
    args.to_strides[i] = out.strides()[i];
    args.from_strides[i] = x.strides()[i];
  }
  const size_t along = static_cast<size_t>(d);
  const int64_t last = (args.dims[along] - 1) * args.from_strides[along];
  args.from = static_cast<const char*>(x.raw()) + last * static_cast<int64_t>(size_of(x.dtype()));
  args.from_strides[along] = -args.from_strides[along];
  kernels::strided_copy(x.device().type, args);
  return out;
}

}  // namespace

Tensor concat(const std::vector<Tensor>& parts, int dim) {
  const backend::OpScope scope("concat");
  if (parts.empty()) throw ShapeError("concat: wanted at least one tensor; got none");
  const int d = parts[0].shape().normalized(dim);
  Tensor out =
      Tensor::empty(joined(parts, d), {.dtype = parts[0].dtype(), .device = parts[0].device()});
  std::vector<int64_t> sizes;
  int64_t at = 0;
  for (const Tensor& part : parts) {
    out.narrow(d, at, part.size(d)).copy_from(part);
    at += part.size(d);
    sizes.push_back(part.size(d));
  }
  return autograd::record("concat", std::span<const Tensor>(parts), out,
                          [sizes, d](const Tensor& grad, const Needs& needs) {
                            GradList grads(sizes.size());
                            int64_t from = 0;
                            for (size_t i = 0; i < sizes.size(); from += sizes[i++])
                              if (needs[i]) grads[i] = grad.narrow(d, from, sizes[i]);
                            return grads;
                          });
}

Tensor stack(const std::vector<Tensor>& parts, int dim) {
  const backend::OpScope scope("stack");
  std::vector<Tensor> raised;
  for (const Tensor& part : parts) raised.push_back(unsqueeze(part, dim));
  return concat(raised, dim);
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim) {
  int64_t sum = 0;
  for (const int64_t n : sizes) sum += n;
  if (sum != x.size(dim))
    throw ShapeError("split: wanted sizes that add up to " + std::to_string(x.size(dim)) +
                     "; got " + std::to_string(sum));
  std::vector<Tensor> parts;
  int64_t at = 0;
  for (const int64_t n : sizes) {
    parts.push_back(narrow(x, dim, at, n));
    at += n;
  }
  return parts;
}

std::vector<Tensor> chunk(const Tensor& x, int count, int dim) {
  if (count < 1 || x.size(dim) % count != 0)
    throw ShapeError("chunk: wanted a count that divides " + std::to_string(x.size(dim)) +
                     "; got " + std::to_string(count));
  return split(x, std::vector<int64_t>(static_cast<size_t>(count), x.size(dim) / count), dim);
}

Tensor pad(const Tensor& x, const std::vector<int64_t>& before, const std::vector<int64_t>& after,
           double value) {
  const backend::OpScope scope("pad");
  const size_t rank = static_cast<size_t>(x.rank());
  if (before.size() != rank || after.size() != rank)
    throw ShapeError("pad: wanted " + std::to_string(rank) + " sizes before and after; got " +
                     std::to_string(before.size()) + " and " + std::to_string(after.size()));
  std::vector<int64_t> dims;
  for (size_t d = 0; d < rank; ++d) {
    if (before[d] < 0 || after[d] < 0)
      throw ShapeError("pad: wanted sizes of 0 or more; got " +
                       std::to_string(std::min(before[d], after[d])));
    int64_t size = x.shape().dims()[d];
    if (__builtin_add_overflow(size, before[d], &size) ||
        __builtin_add_overflow(size, after[d], &size))
      throw ShapeError("pad: wanted sizes that fit 63 bits; got " + std::to_string(before[d]) +
                       " and " + std::to_string(after[d]));
    dims.push_back(size);
  }
  Tensor out = Tensor::full(Shape(std::span<const int64_t>(dims)), value,
                            {.dtype = x.dtype(), .device = x.device()});
  const auto inside = [before, shape = x.shape()](Tensor view) {
    for (int d = 0; d < shape.rank(); ++d)
      view = view.narrow(d, before[static_cast<size_t>(d)], shape[d]);
    return view;
  };
  inside(out).copy_from(x);
  return autograd::record("pad", {x}, out, [inside](const Tensor& grad, const Needs&) {
    return GradList{inside(grad)};
  });
}

Tensor flip(const Tensor& x, int dim) {
  const backend::OpScope scope("flip");
  const int d = x.shape().normalized(dim);
  return autograd::record("flip", {x}, reversed(x, d), [d](const Tensor& grad, const Needs&) {
    return GradList{reversed(grad, d)};
  });
}

}  // namespace sing::ops
