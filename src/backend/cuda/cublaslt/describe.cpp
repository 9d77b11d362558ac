#include "backend/cuda/cublaslt/describe.h"

#include <string>

#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::cuda::cublaslt {
namespace {

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

template <class T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t name,
         const T& value) {
  check(cublasLtMatmulDescSetAttribute(&operation, name, &value, sizeof value),
        "describe a product");
}

cublasLtMatrixLayoutOpaque_t layout_of(const LibraryMatrix& matrix, DType dtype, int64_t batches) {
  cublasLtMatrixLayoutOpaque_t layout;
  check(cublasLtMatrixLayoutInit(&layout, type_of(dtype), static_cast<uint64_t>(matrix.rows),
                                 static_cast<uint64_t>(matrix.cols), matrix.ld),
        "describe a matrix");
  if (batches == 1) return layout;
  const auto count = static_cast<int32_t>(batches);
  const int64_t stride = matrix.batch_stride;
  check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                         sizeof count),
        "describe a matrix");
  check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                         &stride, sizeof stride),
        "describe a matrix");
  return layout;
}

bool has_kept(const LibraryProduct& p) {
  return p.keeps_input || p.activation == LibraryActivation::gelu_tanh_grad;
}

cublasLtEpilogue_t epilogue_of(const LibraryProduct& p) {
  switch (p.activation) {
    case LibraryActivation::relu:
      return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case LibraryActivation::gelu_tanh:
      if (p.keeps_input)
        return p.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
      return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case LibraryActivation::gelu_tanh_grad:
      return CUBLASLT_EPILOGUE_DGELU;
    case LibraryActivation::none:
      break;
  }
  // Over the depth of B: one sum per column of D. The vector is of D's dtype unless said otherwise.
  if (p.bias_grad) return CUBLASLT_EPILOGUE_BGRADB;
  return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

cublasLtMatmulDescOpaque_t operation_of(const LibraryProduct& p, DType dtype,
                                        const LibraryOperands& operands, bool tf32) {
  cublasLtMatmulDescOpaque_t operation;
  const auto compute =
      dtype == DType::f32 && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(cublasLtMatmulDescInit(&operation, compute, CUDA_R_32F), "describe a product");
  const int32_t a = p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const int32_t b = p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, a);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, b);
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(epilogue_of(p)));
  if (has_kept(p)) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.c.ld);
    if (p.batches > 1)
      set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, p.c.batch_stride);
  }
  set_pointers(operation, p, operands);
  return operation;
}

}  // namespace

void check(cublasStatus_t status, const char* attempt) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw BackendError(
      std::string("cublaslt: cannot ") + attempt + ": " + cublasLtGetStatusString(status),
      backend::place_text());
}

void set_pointers(cublasLtMatmulDescOpaque_t& operation, const LibraryProduct& p,
                  const LibraryOperands& operands) {
  if (p.bias) set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  if (p.bias_grad) set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias_grad);
  if (has_kept(p)) set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.kept);
}

Product describe(const LibraryProduct& p, DType dtype, DType c_dtype,
                 const LibraryOperands& operands, bool tf32) {
  Product product{};
  product.operation = operation_of(p, dtype, operands, tf32);
  product.a = layout_of(p.a, dtype, p.batches);
  product.b = layout_of(p.b, dtype, p.batches);
  product.c = layout_of(p.c, c_dtype, p.batches);
  return product;
}

}  // namespace sing::cuda::cublaslt
