#pragma once
#include <string>

#include "backend/cuda/gemm_mapping.h"
#include "kernels/cuda/backend.h"
#include "sing/core/dtype.h"

namespace sing::cuda {

/// "cublaslt 512x1536x384 bf16 bias gelu": rows, columns and depth as the op sees them, "8 x"
/// before them for batches, "tn" and the like where an operand is transposed, "+=" where the result
/// is added. Bytes: each operand once.
inline Described describe_product(const LibraryProduct& p, DType dtype, DType c_dtype) {
  Described text{"cublaslt ", {}};
  if (p.batches > 1) text.name += std::to_string(p.batches) + " x ";
  text.name += std::to_string(p.cols) + "x" + std::to_string(p.rows) + "x" +
               std::to_string(p.depth) + " " + std::string(name_of(dtype));
  if (c_dtype != dtype) text.name += " -> " + std::string(name_of(c_dtype));
  if (p.a.transposed || p.b.transposed)
    text.name += std::string(" ") + (p.a.transposed ? "t" : "n") + (p.b.transposed ? "t" : "n");
  if (p.bias) text.name += " bias";
  if (p.activation == LibraryActivation::relu) text.name += " relu";
  if (p.activation == LibraryActivation::gelu_tanh) text.name += " gelu";
  if (p.keeps_input) text.name += " kept";
  if (p.bias_grad) text.name += " +bias gradient";
  if (p.accumulate) text.name += " +=";
  const auto in = static_cast<int64_t>(size_of(dtype));
  const auto out = static_cast<int64_t>(size_of(c_dtype));
  text.work.read = p.batches * in * (p.rows * p.depth + p.depth * p.cols);
  text.work.written = p.batches * out * p.rows * p.cols * (p.keeps_input ? 2 : 1);
  text.work.flops = 2.0 * static_cast<double>(p.batches) * static_cast<double>(p.rows) *
                    static_cast<double>(p.cols) * static_cast<double>(p.depth);
  return text;
}

}  // namespace sing::cuda
