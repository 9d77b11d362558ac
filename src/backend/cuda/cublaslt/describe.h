#pragma once
#include <cublasLt.h>

#include <cstddef>

#include "backend/cuda/gemm_mapping.h"

namespace sing::cuda::cublaslt {

/// Throws BackendError "cublaslt: cannot <attempt>: <status>" unless successful.
void check(cublasStatus_t status, const char* attempt);

/// A product with its descriptors and the algorithm chosen for it. Descriptors are plain values:
/// a copy gets the pointers of a call.
struct Product {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;
};

/// The descriptors of `p`; no device is needed, and no algorithm is chosen yet. Throws
/// BackendError.
Product describe(const LibraryProduct& p, DType dtype, DType c_dtype,
                 const LibraryOperands& operands, bool tf32);
/// The pointers of a call, in a copy of Product::operation.
void set_pointers(cublasLtMatmulDescOpaque_t& operation, const LibraryProduct& p,
                  const LibraryOperands& operands);

}  // namespace sing::cuda::cublaslt
