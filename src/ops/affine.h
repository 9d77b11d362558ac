#pragma once
// The products of linear layers, shared by the ops that consist of them.
#include "kernels/gemm.h"
#include "ops/target.h"
#include "sing/ops/linear.h"

namespace sing::ops {

kernels::Epilogue epilogue_of(Activation activation);
/// Whether backward needs more than the result: ReLU's derivative can be read from that.
inline bool keeps_slope(kernels::Epilogue epilogue) {
  return epilogue != kernels::Epilogue::none && epilogue != kernels::Epilogue::relu;
}

/// y (rows, out) from x (rows, in).
struct AffineSizes {
  int64_t rows, in, out;
};

/// y = act(x weight^T + bias): x and y dense, weight (out, in) with any strides, bias dense or
/// undefined; slope: what backward needs (keeps_slope), or undefined.
void affine(Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias,
            kernels::Epilogue epilogue, Tensor& slope, const AffineSizes& size);

/// weight_grad (+)= grad^T x and bias_grad (+)= the sums of grad over its rows, each where it is
/// wanted. grad and x are dense.
void affine_weight_grad(Target& weight_grad, Target& bias_grad, const Tensor& grad, const Tensor& x,
                        const AffineSizes& size);

/// x_grad (+)= grad weight.
void affine_input_grad(Target& x_grad, const Tensor& grad, const Tensor& weight,
                       const AffineSizes& size);

/// before = (grad weight) * act'(kept) for the activation that made x, and bias_grad (+)= the sums
/// of that over its rows where it is wanted.
void affine_input_grad_through(Tensor& before, const Tensor& grad, const Tensor& weight,
                               const AffineSizes& size, kernels::Epilogue epilogue,
                               const Tensor& kept, Target& bias_grad);

}  // namespace sing::ops
