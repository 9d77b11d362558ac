#pragma once
#include <functional>
#include <span>
#include <vector>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

using RecomputeFn = std::function<Tensor(std::span<const Tensor> inputs)>;

/// fn(inputs) without keeping what its backward needs: fn runs unrecorded now and once more,
/// recorded, when the backward pass arrives. Gradients reach `inputs` and also whatever leaves
/// (parameters) fn uses by itself. fn must be a pure function: dropout takes its key explicitly and
/// autocast is restored, so both runs see the same numbers; running statistics are left alone by
/// the second run. While recording is on the result counts as requiring a gradient.
/// Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".
SING_API Tensor recompute(const RecomputeFn& fn, std::vector<Tensor> inputs);

/// True inside the second run, for ops with side effects.
SING_API bool recomputing();

}  // namespace sing::ops
