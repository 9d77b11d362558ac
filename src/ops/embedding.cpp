#include "sing/ops/embedding.h"

#include <array>

#include "kernels/embedding.h"
#include "ops/vision_checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

void add_gradient(Tensor& grad_weight, const Tensor& grad_y, const Tensor& indices,
                  int64_t padding_idx) {
  const int64_t rows = grad_weight.size(0), n = indices.numel();
  const TensorOptions integers{.dtype = DType::i64, .device = grad_y.device()};
  Tensor row_start = Tensor::empty({rows + 1}, integers), positions = Tensor::empty({n}, integers);
  kernels::EmbeddingBwdArgs a{};
  a.grad_y = grad_y.raw();
  a.indices = indices.raw();
  a.grad_weight = grad_weight.mutable_raw();
  a.row_start = row_start.mutable_data<int64_t>();
  a.positions = positions.mutable_data<int64_t>();
  a.dtype = grad_y.dtype();
  a.index_dtype = indices.dtype();
  a.grad_dtype = grad_weight.dtype();
  a.n = n;
  a.rows = rows;
  a.width = grad_weight.size(1);
  a.padding_idx = padding_idx;
  kernels::embedding_bwd(grad_y.device().type, a);
}

}  // namespace

Tensor embedding(const Tensor& weight_in, const Tensor& indices_in, int64_t padding_idx) {
  const backend::OpScope scope("embedding");
  if (weight_in.rank() != 2)
    throw ShapeError("embedding: weight must be (rows, width); got " +
                     to_string(weight_in.shape()));
  if (indices_in.rank() >= kMaxRank)
    throw ShapeError("embedding: indices must have at most " + std::to_string(kMaxRank - 1) +
                     " dimensions; got " + to_string(indices_in.shape()));
  if (padding_idx >= weight_in.size(0))
    throw ShapeError("embedding: padding_idx must be below " + std::to_string(weight_in.size(0)) +
                     "; got " + std::to_string(padding_idx));
  check_floating("embedding", "weight", weight_in);
  check_index("embedding", "indices", indices_in);
  const Tensor weight = weight_in.contiguous(), indices = indices_in.contiguous();

  std::array<int64_t, kMaxRank> dims{};
  std::copy(indices.shape().begin(), indices.shape().end(), dims.begin());
  const size_t rank = static_cast<size_t>(indices.rank());
  dims[rank] = weight.size(1);
  Tensor y = Tensor::empty(Shape(std::span<const int64_t>(dims.data(), rank + 1)),
                           {.dtype = weight.dtype(), .device = weight.device()});
  kernels::EmbeddingFwdArgs a{};
  a.weight = weight.raw();
  a.indices = indices.raw();
  a.y = y.mutable_raw();
  a.dtype = weight.dtype();
  a.index_dtype = indices.dtype();
  a.n = indices.numel();
  a.rows = weight.size(0);
  a.width = weight.size(1);
  kernels::embedding_fwd(weight.device().type, a);

  if (!autograd::will_record({weight_in})) return y;
  return autograd::record("embedding", {weight_in}, y,
                          [indices = autograd::Saved(indices), shape = weight.shape(), padding_idx](
                              const Tensor& grad, const autograd::Needs& needs) {
                            const Tensor grad_y = grad.contiguous();
                            // Only rows that occur are touched when the leaf already has its
                            // buffer.
                            if (Tensor target = needs.target(0); target.defined()) {
                              add_gradient(target, grad_y, *indices, padding_idx);
                              return autograd::GradList(1);
                            }
                            Tensor grad_weight = Tensor::zeros(
                                shape, {.dtype = grad_y.dtype(), .device = grad_y.device()});
                            add_gradient(grad_weight, grad_y, *indices, padding_idx);
                            return autograd::GradList{grad_weight};
                          });
}

}  // namespace sing::ops
