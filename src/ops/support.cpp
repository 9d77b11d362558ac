#include "ops/support.h"

#include <algorithm>

#include "ops/reduction.h"
#include "sing/core/error.h"

namespace sing::ops {

void check_floating(const char* op, const Tensor& x) {
  if (!is_floating(x.dtype()))
    throw DTypeError(std::string(op) + ": wanted a floating tensor; got " + describe(x));
}

void match_dtypes(const char* op, Tensor& a, Tensor& b) {
  if (a.dtype() == b.dtype()) return;
  if (autocast::dtype() && is_floating(a.dtype()) && is_floating(b.dtype())) {
    const bool to_a = size_of(a.dtype()) >= size_of(b.dtype());
    const DType wide = size_of(a.dtype()) == size_of(b.dtype()) ? DType::f32
                       : to_a                                   ? a.dtype()
                                                                : b.dtype();
    a = autocast::cast(a, wide);
    b = autocast::cast(b, wide);
    return;
  }
  throw DTypeError(std::string(op) + ": wanted one dtype; got " + describe(a) + " and " +
                   describe(b));
}

std::array<bool, kMaxRank> named_dims(const char* op, const Shape& shape,
                                      const std::vector<int>& dims) {
  std::array<bool, kMaxRank> named{};
  if (dims.empty()) named.fill(true);
  for (const int dim : dims) {
    if (dim < -shape.rank() || dim >= shape.rank())
      throw ShapeError(std::string(op) + ": wanted dimensions of " + to_string(shape) + "; got " +
                       std::to_string(dim));
    const size_t d = static_cast<size_t>(shape.normalized(dim));
    if (named[d])
      throw ShapeError(std::string(op) + ": wanted each dimension once; got " +
                       std::to_string(dim) + " again");
    named[d] = true;
  }
  return named;
}

Tensor empty_elementwise(const Shape& shape, DType dtype, std::initializer_list<Tensor> operands) {
  const bool channels_last = std::any_of(operands.begin(), operands.end(), [&](const Tensor& t) {
    return t.shape() == shape && t.is_channels_last() && !t.is_contiguous();
  });
  return Tensor::empty(
      shape, {.dtype = dtype,
              .device = operands.begin()->device(),
              .format = channels_last ? MemoryFormat::channels_last : MemoryFormat::contiguous});
}

Tensor dense(const Tensor& x) {
  return x.is_contiguous() || x.is_channels_last() ? x : x.contiguous();
}

Tensor dense_as(const Tensor& x, const Tensor& like) {
  return x.contiguous(like.is_contiguous() ? MemoryFormat::contiguous
                                           : MemoryFormat::channels_last);
}

namespace {

/// Strides of `t` over `shape`: 0 where it is broadcast.
Tensor::Strides strides_over(const Tensor& t, const Shape& shape) {
  Tensor::Strides strides{};
  const int extra = shape.rank() - t.rank();
  for (int d = 0; d < t.rank(); ++d)
    if (t.size(d) != 1 || shape[d + extra] == 1)
      strides[static_cast<size_t>(d + extra)] = t.stride(d);
  return strides;
}

}  // namespace

template <int N>
kernels::Walk<N> make_walk(const std::array<Tensor, N>& operands) {
  const Shape& shape = operands[0].shape();
  std::array<Tensor::Strides, N> strides;
  for (size_t k = 0; k < N; ++k) strides[k] = strides_over(operands[k], shape);
  std::vector<size_t> order;
  for (size_t d = 0; d < static_cast<size_t>(shape.rank()); ++d)
    if (shape.dims()[d] != 1) order.push_back(d);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return strides[0][a] > strides[0][b]; });
  kernels::Walk<N> walk;
  walk.rank = 0;
  for (const size_t d : order) {
    const int64_t n = shape.dims()[d];
    const size_t last = static_cast<size_t>(walk.rank) - 1;
    bool merges = walk.rank > 0;
    for (size_t k = 0; merges && k < N; ++k) merges = walk.strides[k][last] == strides[k][d] * n;
    const size_t at = merges ? last : static_cast<size_t>(walk.rank++);
    walk.dims[at] = merges ? walk.dims[at] * n : n;
    for (size_t k = 0; k < N; ++k) walk.strides[k][at] = strides[k][d];
  }
  if (walk.rank == 0) {
    walk.rank = 1;
    walk.dims[0] = 1;
    for (size_t k = 0; k < N; ++k) walk.strides[k][0] = 1;
  }
  return walk;
}
template kernels::Walk<3> make_walk<3>(const std::array<Tensor, 3>&);
template kernels::Walk<4> make_walk<4>(const std::array<Tensor, 4>&);

Tensor sum_to(const Tensor& grad, const Shape& shape, Tensor target) {
  if (grad.shape() == shape) {
    if (!target.defined()) return grad;
    autograd::accumulate(target, grad);
    return {};
  }
  const int extra = grad.rank() - shape.rank();
  std::array<bool, kMaxRank> reduced{};
  for (int d = 0; d < grad.rank(); ++d)
    reduced[static_cast<size_t>(d)] = d < extra || (shape[d - extra] == 1 && grad.shape()[d] != 1);
  Tensor out = target.defined()
                   ? target
                   : Tensor::empty(shape, {.dtype = grad.dtype(), .device = grad.device()});
  kernels::ReduceArgs args = reduce_args(grad, reduced);
  args.out = out.mutable_raw();
  args.out_dtype = out.dtype();
  args.op = kernels::ReduceOp::sum;
  args.accumulate = target.defined();
  kernels::reduce(grad.device().type, args);
  return target.defined() ? Tensor() : out;
}

}  // namespace sing::ops
