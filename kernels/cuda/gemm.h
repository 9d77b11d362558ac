#pragma once
#include "kernels/gemm.h"

namespace sing::cuda {

/// The product by our own kernel, which serves every layout (gemm.cu), without GemmArgs::kept and
/// bias_grad. Throws NotImplementedError for dtypes other than f32 and bf16.
void own_gemm(const kernels::GemmArgs& args);

/// to = act(from) for `batches` matrices of m rows of n elements, rows `row` and matrices `batch`
/// elements apart in both; `to` may be `from`.
struct ActivationPass {
  const void* from;
  void* to;
  DType dtype;
  kernels::Epilogue epilogue;
  int64_t m, n, row, batches, batch;
  Stream stream;
};
void activation_pass(const ActivationPass& args);

/// The kernel of the slot activation_grad (activation_grad.cu).
void own_activation_grad(const kernels::ActivationGradArgs& args);

}  // namespace sing::cuda
