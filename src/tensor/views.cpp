#include "sing/core/error.h"
#include "tensor/tensor_impl.h"

namespace sing {

Tensor Tensor::strided_view(const Shape& shape, const Strides& strides, int64_t offset) const {
  auto view = std::make_shared<Impl>();
  view->shape = shape;
  view->strides = strides;
  view->offset = offset;
  view->dtype = impl().dtype;
  view->storage = impl().storage;
  return Tensor(std::move(view));
}

Tensor Tensor::detach() const {
  return strided_view(shape(), impl().strides, offset());
}

Tensor Tensor::view(const Shape& wanted) const {
  const Impl& t = impl();
  if (wanted.numel() != t.shape.numel())
    throw ShapeError("view: " + to_string(t.shape) + " has " + std::to_string(t.shape.numel()) +
                     " elements; " + to_string(wanted) + " wants " +
                     std::to_string(wanted.numel()));
  if (is_contiguous()) return strided_view(wanted, row_major_strides(wanted), t.offset);
  // Walk both shapes from the right: each run of old dimensions that is one block in memory can be
  // cut anew; a wanted dimension that crosses two runs cannot be expressed by strides.
  Strides strides{};
  int j = wanted.rank() - 1;
  for (int i = t.shape.rank() - 1; i >= 0;) {
    int64_t run = t.shape[i];
    const int64_t step = t.strides[static_cast<size_t>(i)];
    int k = i - 1;
    while (k >= 0 && (t.shape[k] == 1 || t.strides[static_cast<size_t>(k)] == run * step)) {
      run *= t.shape[k];
      --k;
    }
    i = k;
    int64_t taken = 1;
    while (j >= 0 && taken * wanted[j] <= run && run % (taken * wanted[j]) == 0) {
      strides[static_cast<size_t>(j)] = taken * step;
      taken *= wanted[j];
      --j;
      if (taken == run && (j < 0 || wanted[j] != 1)) break;
    }
    if (taken != run)
      throw ShapeError("view: the strides of " + to_string(t.shape) + " do not allow " +
                       to_string(wanted) + " without a copy");
  }
  return strided_view(wanted, strides, t.offset);
}

Tensor Tensor::permute(std::span<const int> order) const {
  const Impl& t = impl();
  if (static_cast<int>(order.size()) != t.shape.rank())
    throw ShapeError("permute: the order names " + std::to_string(order.size()) +
                     " dimensions of " + to_string(t.shape));
  std::array<int64_t, kMaxRank> dims{};
  Strides strides{};
  std::array<bool, kMaxRank> seen{};
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t from = static_cast<size_t>(t.shape.normalized(order[i]));
    if (seen[from])
      throw ShapeError("permute: dimension " + std::to_string(from) + " is named twice");
    seen[from] = true;
    dims[i] = t.shape[static_cast<int>(from)];
    strides[i] = t.strides[from];
  }
  return strided_view(Shape(std::span<const int64_t>(dims.data(), order.size())), strides,
                      t.offset);
}

Tensor Tensor::transpose(int a, int b) const {
  std::array<int, kMaxRank> order{};
  for (int i = 0; i < rank(); ++i) order[static_cast<size_t>(i)] = i;
  std::swap(order[static_cast<size_t>(shape().normalized(a))],
            order[static_cast<size_t>(shape().normalized(b))]);
  return permute(std::span<const int>(order.data(), static_cast<size_t>(rank())));
}

Tensor Tensor::narrow(int dim, int64_t start, int64_t length) const {
  const Impl& t = impl();
  const int d = t.shape.normalized(dim);
  if (start < 0 || length < 0 || start > t.shape[d] - length)
    throw ShapeError("narrow: [" + std::to_string(start) + ", " + std::to_string(start) + " + " +
                     std::to_string(length) + ") is outside dimension " + std::to_string(d) +
                     " of " + to_string(t.shape));
  return strided_view(t.shape.with(d, length), t.strides,
                      t.offset + start * t.strides[static_cast<size_t>(d)]);
}

Tensor Tensor::expand(const Shape& wanted) const {
  const Impl& t = impl();
  const int extra = wanted.rank() - t.shape.rank();
  Strides strides{};
  bool fits = extra >= 0;
  for (int i = 0; fits && i < t.shape.rank(); ++i) {
    const size_t to = static_cast<size_t>(i + extra);
    if (t.shape[i] == wanted[i + extra])
      strides[to] = t.strides[static_cast<size_t>(i)];
    else
      fits = t.shape[i] == 1;
  }
  if (!fits)
    throw ShapeError("expand: " + to_string(t.shape) + " does not broadcast to " +
                     to_string(wanted));
  return strided_view(wanted, strides, t.offset);
}

Tensor Tensor::squeeze(int dim) const {
  const Impl& t = impl();
  const int d = t.shape.normalized(dim);
  if (t.shape[d] != 1)
    throw ShapeError("squeeze: dimension " + std::to_string(d) + " of " + to_string(t.shape) +
                     " is not 1");
  std::array<int64_t, kMaxRank> dims{};
  Strides strides{};
  size_t n = 0;
  for (int i = 0; i < t.shape.rank(); ++i) {
    if (i == d) continue;
    dims[n] = t.shape[i];
    strides[n++] = t.strides[static_cast<size_t>(i)];
  }
  return strided_view(Shape(std::span<const int64_t>(dims.data(), n)), strides, t.offset);
}

Tensor Tensor::unsqueeze(int dim) const {
  const Impl& t = impl();
  const int at = dim < 0 ? dim + t.shape.rank() + 1 : dim;
  if (at < 0 || at > t.shape.rank() || t.shape.rank() == kMaxRank)
    throw ShapeError("unsqueeze: no place " + std::to_string(dim) + " in " + to_string(t.shape));
  std::array<int64_t, kMaxRank> dims{};
  Strides strides{};
  size_t n = 0;
  for (int i = 0; i <= t.shape.rank(); ++i) {
    if (i == at) {
      dims[n] = 1;
      strides[n++] = 1;
    }
    if (i == t.shape.rank()) break;
    dims[n] = t.shape[i];
    strides[n++] = t.strides[static_cast<size_t>(i)];
  }
  return strided_view(Shape(std::span<const int64_t>(dims.data(), n)), strides, t.offset);
}

}  // namespace sing
