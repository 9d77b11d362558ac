// What cuBLASLt is told of a product; its descriptors need no device.
#include <gtest/gtest.h>

#include "backend/cuda/cublaslt/describe.h"

namespace sing::cuda::cublaslt {
namespace {

using kernels::Epilogue;
using kernels::GemmArgs;

GemmArgs args_of(DType dtype, Epilogue epilogue, bool bias, bool slope, int64_t batches) {
  static char memory[64];
  GemmArgs g{};
  g.a = memory;
  g.b = memory + 16;
  g.c = memory + 32;
  g.bias = bias ? memory + 48 : nullptr;
  g.slope = slope ? memory + 56 : nullptr;
  g.dtype = g.c_dtype = dtype;
  g.m = 5;
  g.n = 8;
  g.k = 3;
  g.a_row = 3;
  g.a_col = 1;
  g.b_row = 1;  // a weight of rows x in
  g.b_col = 3;
  g.c_row = 16;
  g.epilogue = epilogue;
  g.batch_rank = 1;
  g.batch[0] = batches;
  g.a_batch[0] = 15;
  g.b_batch[0] = 24;
  g.c_batch[0] = 80;
  return g;
}

struct Described {
  LibraryProduct p;
  Product product;
};
Described described(const GemmArgs& g, bool tf32 = false) {
  const LibraryProduct p = *map_gemm(g, true);
  const LibraryOperands operands{
      g.b,        g.a, g.c, g.bias, g.c, g.kept != nullptr ? const_cast<void*>(g.kept) : g.slope,
      g.bias_grad};
  return {p, describe(p, g.dtype, g.c_dtype, operands, tf32)};
}

template <class T>
T attribute(const Product& product, cublasLtMatmulDescAttributes_t name) {
  cublasLtMatmulDescOpaque_t operation = product.operation;
  T value{};
  size_t written = 0;
  check(cublasLtMatmulDescGetAttribute(&operation, name, &value, sizeof value, &written), "read");
  EXPECT_EQ(written, sizeof value);
  return value;
}
template <class T>
T attribute(cublasLtMatrixLayoutOpaque_t layout, cublasLtMatrixLayoutAttribute_t name) {
  T value{};
  size_t written = 0;
  check(cublasLtMatrixLayoutGetAttribute(&layout, name, &value, sizeof value, &written), "read");
  EXPECT_EQ(written, sizeof value);
  return value;
}

TEST(CublasLtProducts, Epilogues) {
  const auto epilogue = [](DType dtype, Epilogue e, bool bias, bool slope) {
    return attribute<uint32_t>(described(args_of(dtype, e, bias, slope, 1)).product,
                               CUBLASLT_MATMUL_DESC_EPILOGUE);
  };
  EXPECT_EQ(epilogue(DType::f32, Epilogue::none, false, false), CUBLASLT_EPILOGUE_DEFAULT);
  EXPECT_EQ(epilogue(DType::f32, Epilogue::none, true, false), CUBLASLT_EPILOGUE_BIAS);
  EXPECT_EQ(epilogue(DType::f32, Epilogue::relu, false, false), CUBLASLT_EPILOGUE_RELU);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::relu, true, false), CUBLASLT_EPILOGUE_RELU_BIAS);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::gelu, true, true), CUBLASLT_EPILOGUE_BIAS);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::gelu_tanh, false, false), CUBLASLT_EPILOGUE_GELU);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::gelu_tanh, true, false), CUBLASLT_EPILOGUE_GELU_BIAS);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::gelu_tanh, false, true), CUBLASLT_EPILOGUE_GELU_AUX);
  EXPECT_EQ(epilogue(DType::bf16, Epilogue::gelu_tanh, true, true),
            CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
}

TEST(CublasLtProducts, ComputesInF32) {
  const auto compute = [](DType dtype, bool tf32) {
    return attribute<int32_t>(
        described(args_of(dtype, Epilogue::none, false, false, 1), tf32).product,
        CUBLASLT_MATMUL_DESC_COMPUTE_TYPE);
  };
  EXPECT_EQ(compute(DType::f32, false), CUBLAS_COMPUTE_32F);
  EXPECT_EQ(compute(DType::f32, true), CUBLAS_COMPUTE_32F_FAST_TF32);
  EXPECT_EQ(compute(DType::bf16, true), CUBLAS_COMPUTE_32F);
}

TEST(CublasLtProducts, PointersAndWhatIsKept) {
  const GemmArgs g = args_of(DType::bf16, Epilogue::gelu_tanh, true, true, 4);
  const auto [p, product] = described(g);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER), g.bias);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER), g.slope);
  EXPECT_EQ(attribute<int64_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD), 16);
  EXPECT_EQ(attribute<int64_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE), 80);
  Product other = product;  // a later call of the same product
  set_pointers(other.operation, p, {g.a, g.b, g.c, g.c, g.slope, g.slope, nullptr});
  EXPECT_EQ(attribute<const void*>(other, CUBLASLT_MATMUL_DESC_BIAS_POINTER), g.c);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER), g.bias);
}

TEST(CublasLtProducts, GradientThroughAnActivation) {
  // Rows x hidden from dY (rows x out) and W2 (out x hidden), kept as the forward product left it.
  GemmArgs g = args_of(DType::bf16, Epilogue::gelu_tanh, false, false, 1);
  static char kept[16];
  g.kept = kept;
  g.b_row = g.c_row = 8;
  g.b_col = 1;
  const auto [p, product] = described(g);
  EXPECT_EQ(attribute<uint32_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE), CUBLASLT_EPILOGUE_DGELU);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER), kept);
  EXPECT_EQ(attribute<int64_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD), 8);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER), nullptr);
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_N);
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_N);
  // -1: what is kept has the dtype of D.
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE), -1);
}

TEST(CublasLtProducts, BiasGradientBesideAWeightGradient) {
  // dW (out x in) = dY^T X: our A is op(B) of the library, whose sums over the depth are one per
  // column of D.
  GemmArgs g = args_of(DType::bf16, Epilogue::none, false, false, 1);
  static float sums[8];
  g.c_dtype = g.bias_grad_dtype = DType::f32;
  g.a_row = 1;
  g.a_col = g.m;
  g.b_row = g.c_row = g.n;
  g.b_col = 1;
  g.accumulate = true;
  g.bias_grad = sums;
  const auto [p, product] = described(g);
  EXPECT_EQ(attribute<uint32_t>(product, CUBLASLT_MATMUL_DESC_EPILOGUE), CUBLASLT_EPILOGUE_BGRADB);
  EXPECT_EQ(attribute<const void*>(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER), sums);
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_T);
  EXPECT_EQ(attribute<uint64_t>(product.b, CUBLASLT_MATRIX_LAYOUT_ROWS), 5u);
  EXPECT_EQ(attribute<uint64_t>(product.b, CUBLASLT_MATRIX_LAYOUT_COLS), 3u);
  EXPECT_EQ(attribute<uint64_t>(product.c, CUBLASLT_MATRIX_LAYOUT_COLS), 5u);
  // -1: the sums have the dtype of D, which is f32 here.
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), -1);
  EXPECT_EQ(attribute<uint32_t>(product.c, CUBLASLT_MATRIX_LAYOUT_TYPE),
            static_cast<uint32_t>(CUDA_R_32F));
  Product other = product;
  set_pointers(other.operation, p, {g.b, g.a, g.c, nullptr, g.c, nullptr, sums + 4});
  EXPECT_EQ(attribute<const void*>(other, CUBLASLT_MATMUL_DESC_BIAS_POINTER), sums + 4);
}

TEST(CublasLtProducts, AnEpilogueMustNotIdleTheDevice) {
  EXPECT_TRUE(as_busy(1.0f, 1.0f));
  EXPECT_TRUE(as_busy(0.9f, 3.0f));     // both fill the device
  EXPECT_TRUE(as_busy(0.07f, 0.07f));   // no algorithm does
  EXPECT_FALSE(as_busy(0.07f, 0.95f));  // 9 tiles of 384 x 384 against a split of their sums
  EXPECT_FALSE(as_busy(0.5f, 3.0f));
}

TEST(CublasLtProducts, Layouts) {
  const auto [p, product] = described(args_of(DType::bf16, Epilogue::none, false, false, 4));
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_T);
  EXPECT_EQ(attribute<int32_t>(product, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_N);
  const struct {
    const cublasLtMatrixLayoutOpaque_t& layout;
    uint64_t rows, cols;
    int64_t ld, stride;
  } wanted[] = {{product.a, 3, 8, 3, 24}, {product.b, 3, 5, 3, 15}, {product.c, 8, 5, 16, 80}};
  for (const auto& w : wanted) {
    EXPECT_EQ(attribute<uint64_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_ROWS), w.rows);
    EXPECT_EQ(attribute<uint64_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_COLS), w.cols);
    EXPECT_EQ(attribute<int64_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_LD), w.ld);
    EXPECT_EQ(attribute<int32_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT), 4);
    EXPECT_EQ(attribute<int64_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET), w.stride);
    EXPECT_EQ(attribute<uint32_t>(w.layout, CUBLASLT_MATRIX_LAYOUT_TYPE),
              static_cast<uint32_t>(CUDA_R_16BF));
  }
}

}  // namespace
}  // namespace sing::cuda::cublaslt
