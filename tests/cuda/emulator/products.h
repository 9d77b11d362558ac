#pragma once
#include "backend/cuda/gemm_mapping.h"
#include "kernels/cuda/gemm.h"

namespace sing::emulator {

/// Strides of op(matrix) by its rows and columns.
inline int64_t row_stride(const cuda::LibraryMatrix& matrix) {
  return matrix.transposed ? matrix.ld : 1;
}
inline int64_t column_stride(const cuda::LibraryMatrix& matrix) {
  return matrix.transposed ? 1 : matrix.ld;
}

/// Stands in for a library's product. Like one, it does not have every algorithm: it refuses an odd
/// depth, and GELU for results of an odd number of columns; what the backend does then is tested
/// too.
inline bool multiply(const cuda::LibraryProduct& p, DType dtype, DType c_dtype,
                     const cuda::LibraryOperands& operands, Stream stream) {
  if (p.depth % 2 == 1 || (p.activation == cuda::LibraryActivation::gelu_tanh && p.cols % 2 == 1))
    return false;
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
  g.slope = operands.kept;
  g.stream = stream;
  cuda::own_gemm(g);
  return true;
}

}  // namespace sing::emulator
