#pragma once
#include <vector>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Recorded twins of the views of Tensor, and copies that rearrange. Any dtype; negative dimensions
// count from the end; ShapeError for what does not fit. Views share storage with x.
namespace sing::ops {

/// At most one dimension is -1: what is left. A view where strides allow, else a copy.
SING_API Tensor reshape(const Tensor& x, const std::vector<int64_t>& dims);
/// Dimensions first..last become one.
SING_API Tensor flatten(const Tensor& x, int first = 0, int last = -1);
SING_API Tensor permute(const Tensor& x, const std::vector<int>& order);
/// The dimensions in another order and another floating dtype, contiguous: one pass each way.
SING_API Tensor permuted_copy(const Tensor& x, const std::vector<int>& order, DType dtype);
SING_API Tensor transpose(const Tensor& x, int a, int b);
/// Elements start..start + length - 1 along dim.
SING_API Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length);
/// Element `index` along dim, which goes away.
SING_API Tensor select(const Tensor& x, int dim, int64_t index);
/// Broadcasts; the gradient is summed back.
SING_API Tensor expand(const Tensor& x, const Shape& shape);
SING_API Tensor squeeze(const Tensor& x, int dim);
SING_API Tensor unsqueeze(const Tensor& x, int dim);
/// Dense in this order; x itself when it is so already.
SING_API Tensor contiguous(const Tensor& x, MemoryFormat format = MemoryFormat::contiguous);

/// Sizes agree except along dim; one dtype (DTypeError).
SING_API Tensor concat(const std::vector<Tensor>& parts, int dim);
/// Along a new dimension.
SING_API Tensor stack(const std::vector<Tensor>& parts, int dim);
/// Views of the given sizes, which must add up.
SING_API std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim);
/// `count` equal views; the dimension must be divisible.
SING_API std::vector<Tensor> chunk(const Tensor& x, int count, int dim);

/// before[d] and after[d] elements of `value` (>= 0) around dimension d of x.
SING_API Tensor pad(const Tensor& x, const std::vector<int64_t>& before,
                    const std::vector<int64_t>& after, double value = 0);
/// Reverses the order along dim (a copy).
SING_API Tensor flip(const Tensor& x, int dim);
/// Converted copy (x itself when it has the dtype). Recorded between floating dtypes; detached
/// otherwise.
SING_API Tensor cast(const Tensor& x, DType dtype);

}  // namespace sing::ops
