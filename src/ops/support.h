#pragma once
// What op bodies share: the checks, the layout of element-wise outputs, walks, sums over broadcast
// dimensions.
#include <array>
#include <vector>

#include "kernels/walk.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Throws DTypeError "op: wanted a floating tensor; got i64 (3)".
void check_floating(const char* op, const Tensor& x);
/// Throws DTypeError unless both have one dtype. Under autocast floating operands are first brought
/// to the wider of the two (a residual may be f32, what is added bf16).
void match_dtypes(const char* op, Tensor& a, Tensor& b);
/// The dimensions named, each once, as flags; `dims` empty means all. Throws ShapeError.
std::array<bool, kMaxRank> named_dims(const char* op, const Shape& shape,
                                      const std::vector<int>& dims);

/// An output of shape `shape`, channels-last when a full-size operand is (and not also contiguous).
Tensor empty_elementwise(const Shape& shape, DType dtype, std::initializer_list<Tensor> operands);
/// x itself when its elements are one dense block in row-major or channels-last order, else a
/// contiguous copy. `like` is laid out the same by `dense_as`.
Tensor dense(const Tensor& x);
Tensor dense_as(const Tensor& x, const Tensor& like);

/// The walk over `operands`, each expanded to the shape of operands[0], in the order of its
/// strides.
template <int N>
kernels::Walk<N> make_walk(const std::array<Tensor, N>& operands);

/// The gradient of an operand of shape `shape` that was broadcast: grad summed over the dimensions
/// that stretched. grad itself when there are none. Added to `target` when that is defined (result:
/// undefined), as Needs::target wants it.
Tensor sum_to(const Tensor& grad, const Shape& shape, Tensor target = {});

}  // namespace sing::ops
