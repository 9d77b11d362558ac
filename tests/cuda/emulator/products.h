#pragma once
#include <cstdlib>
#include <string>
#include <string_view>

#include "backend/cuda/gemm_mapping.h"
#include "cuda/emulator/trace.h"
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

/// Takes down what a library's product moves and computes.
inline void trace_product(const cuda::LibraryProduct& p, DType dtype, DType c_dtype) {
  const auto elements = [&p](const cuda::LibraryMatrix& m) {
    return static_cast<double>(m.rows) * static_cast<double>(m.cols) *
           static_cast<double>(m.batch_stride == 0 ? 1 : p.batches);
  };
  const double narrow = static_cast<double>(size_of(dtype)),
               wide = static_cast<double>(size_of(c_dtype)),
               out = static_cast<double>(p.rows) * static_cast<double>(p.cols) *
                     static_cast<double>(p.batches);
  std::string name = "library product";
  if (p.bias) name += " + bias";
  const bool through = p.activation == cuda::LibraryActivation::gelu_tanh_grad;
  if (through) name += " + activation's gradient";
  if (p.activation != cuda::LibraryActivation::none && !through) name += " + activation";
  if (p.keeps_input) name += " + kept input";
  if (p.bias_grad) name += " + bias gradient";
  if (p.accumulate) name += ", adds";
  const double read_beside = (p.accumulate ? wide * out : 0) + (through ? wide * out : 0) +
                             (p.bias ? narrow * static_cast<double>(p.rows) : 0);
  trace_call(name.c_str(), narrow * (elements(p.a) + elements(p.b)) + read_beside,
             wide * out * (p.keeps_input ? 2 : 1), 2 * out * static_cast<double>(p.depth));
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
  if (tracing()) {
    trace_product(p, dtype, c_dtype);
    if (p.bias_grad)
      zero_unless_dry(operands.bias_grad, static_cast<size_t>(p.cols) * size_of(c_dtype));
    if (p.batches > 1 || p.accumulate) return true;
    const auto bytes = static_cast<size_t>(p.c.ld * (p.cols - 1) + p.rows) * size_of(c_dtype);
    zero_unless_dry(operands.d, bytes);
    if (p.keeps_input) zero_unless_dry(operands.kept, bytes);
    return true;
  }
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
