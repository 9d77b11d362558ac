#pragma once
#include <cstdlib>
#include <string_view>

#include "backend/cuda/gemm_mapping.h"
#include "kernels/cuda/gemm.h"
#include "sing/core/error.h"

namespace sing::emulator {

/// Strides of op(matrix) by its rows and columns.
inline int64_t row_stride(const cuda::LibraryMatrix& matrix) {
  return matrix.transposed ? matrix.ld : 1;
}
inline int64_t column_stride(const cuda::LibraryMatrix& matrix) {
  return matrix.transposed ? 1 : matrix.ld;
}

/// Whether every epilogue but a bias is an error (SING_EMULATOR_EPILOGUES=refuse): shows that
/// SING_CUDA_EPILOGUES=off asks for none.
inline bool plain_only() {
  const char* text = std::getenv("SING_EMULATOR_EPILOGUES");
  return text != nullptr && std::string_view(text) == "refuse";
}

/// Stands in for a library's product. Like one, it does not have every algorithm: it refuses an odd
/// depth, and for results of an odd number of columns GELU, its gradient and bias gradients; what
/// the backend does then is tested too.
inline bool multiply(const cuda::LibraryProduct& p, DType dtype, DType c_dtype,
                     const cuda::LibraryOperands& operands, Stream stream) {
  using cuda::LibraryActivation;
  const bool through = p.activation == LibraryActivation::gelu_tanh_grad;
  if (plain_only() && (p.activation != LibraryActivation::none || p.bias_grad))
    throw InternalError("the emulated library was asked for an epilogue");
  const bool even_only = p.activation == LibraryActivation::gelu_tanh || through || p.bias_grad;
  if (p.depth % 2 == 1 || (even_only && p.cols % 2 == 1)) return false;
  if (p.accumulate && operands.c != operands.d) return false;
  // A column of D is a row of what our own kernel writes.
  kernels::GemmArgs g{};
  g.a = operands.b;
  g.b = operands.a;
  g.c = operands.d;
  g.dtype = dtype;
  g.c_dtype = c_dtype;
  g.m = p.cols;
  g.n = p.rows;
  g.k = p.depth;
  g.a_row = column_stride(p.b);
  g.a_col = row_stride(p.b);
  g.b_row = column_stride(p.a);
  g.b_col = row_stride(p.a);
  g.c_row = p.c.ld;
  g.batch_rank = 1;
  g.batch[0] = p.batches;
  g.a_batch[0] = p.b.batch_stride;
  g.b_batch[0] = p.a.batch_stride;
  g.c_batch[0] = p.c.batch_stride;
  g.accumulate = p.accumulate;
  g.epilogue = p.activation == cuda::LibraryActivation::relu        ? kernels::Epilogue::relu
               : p.activation == cuda::LibraryActivation::gelu_tanh ? kernels::Epilogue::gelu_tanh
                                                                    : kernels::Epilogue::none;
  g.bias = p.bias ? operands.bias : nullptr;
  g.slope = p.keeps_input ? operands.kept : nullptr;
  g.stream = stream;
  cuda::own_gemm(g);
  kernels::ActivationGradArgs a{};
  a.stream = stream;
  if (through) {  // C is dense then: GemmArgs::kept
    a.grad = a.grad_pre = operands.d;
    a.kept = operands.kept;
    a.dtype = a.bias_grad_dtype = c_dtype;
    a.epilogue = kernels::Epilogue::gelu_tanh;
    a.m = p.cols;
    a.n = p.rows;
    cuda::own_activation_grad(a);
  }
  if (p.bias_grad) {  // op(B) is the transpose of a dense matrix then: GemmArgs::bias_grad
    a.grad = operands.b;
    a.bias_grad = operands.bias_grad;
    a.dtype = dtype;
    a.bias_grad_dtype = c_dtype;
    a.m = p.depth;
    a.n = p.cols;
    cuda::own_activation_grad(a);
  }
  return true;
}

}  // namespace sing::emulator
