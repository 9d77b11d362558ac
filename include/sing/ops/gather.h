#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Picking elements by index (i64 or i32, else DTypeError). DataError for an index outside the
// dimension. Gradients of elements picked several times are added in the order of the index, so
// they are the same every time; with narrow dtypes they are added in f32.
namespace sing::ops {

/// out[..., i, ...] = x[..., index[..., i, ...], ...] along dim; the shape of index, which has the
/// rank of x and is nowhere longer than x except along dim (ShapeError).
SING_API Tensor gather(const Tensor& x, int dim, const Tensor& index);
/// out[..., i, ...] = x[..., index[i], ...] along dim; index: (n).
SING_API Tensor index_select(const Tensor& x, int dim, const Tensor& index);

}  // namespace sing::ops
