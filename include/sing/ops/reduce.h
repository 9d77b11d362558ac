#pragma once
#include <vector>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Reductions over some dimensions. `dims`: dimensions of x, each once, negative counts from the
// end; empty means all. `keepdim` leaves them as 1. ShapeError for other dims.
namespace sing::ops {

/// x floating; sums are taken in f64 or in f32 with f64 partial sums. Under autocast bf16 and f16
/// are widened to f32 first. No elements: 0 (mean: NaN).
SING_API Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
SING_API Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// Euclidean norm. The gradient where the norm is 0 is 0.
SING_API Tensor norm(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

/// Any dtype; NaN wins. The gradient goes to the first extremum in row-major order. Throws
/// ShapeError when there is nothing to choose from.
SING_API Tensor max(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
SING_API Tensor min(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// i64 index of the first largest element (the first NaN if there is one). Not differentiable.
SING_API Tensor argmax(const Tensor& x, int dim, bool keepdim = false);

/// Boolean: whether any, or every, element of x (any dtype) is not zero.
SING_API Tensor any(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
SING_API Tensor all(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

}  // namespace sing::ops
