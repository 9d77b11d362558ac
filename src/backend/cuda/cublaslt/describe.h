#pragma once
#include <cublasLt.h>

#include <cstddef>

#include "backend/cuda/gemm_mapping.h"

namespace sing::cuda::cublaslt {

/// Throws BackendError "cublaslt: cannot <attempt>: <status>", with the op and its operands
/// (backend::place_text), unless successful.
void check(cublasStatus_t status, const char* attempt);

/// A product with its descriptors and the algorithm chosen for it. Descriptors are plain values:
/// a copy gets the pointers of a call.
struct Product {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;
  float waves;  // of blocks that the algorithm starts; below 1 multiprocessors stay idle
};

/// Whether an algorithm with an epilogue keeps the device as busy as the one without. Weight
/// gradients of a narrow layer have few tiles and many rows to sum over: without a split of these
/// an algorithm that also sums the bias gradient would save one read and idle most of the device.
inline bool as_busy(float with_epilogue, float without) {
  return with_epilogue >= 0.75f * (without < 1 ? without : 1);
}

/// The descriptors of `p`; no device is needed, and no algorithm is chosen yet. Throws
/// BackendError.
Product describe(const LibraryProduct& p, DType dtype, DType c_dtype,
                 const LibraryOperands& operands, bool tf32);
/// The pointers of a call, in a copy of Product::operation.
void set_pointers(cublasLtMatmulDescOpaque_t& operation, const LibraryProduct& p,
                  const LibraryOperands& operands);

}  // namespace sing::cuda::cublaslt
