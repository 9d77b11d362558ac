// A library's refusal names the op it belongs to and what that works on.
#include <gtest/gtest.h>

#include <string>

#include "backend/cuda/cublaslt/describe.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::cuda::cublaslt {
namespace {

TEST(LibraryError, NamesOpAndOperands) {
  const float x = 0, y = 0;
  const backend::OpScope op("linear");
  backend::note_operand(&x, {512, 384}, DType::bf16, false);
  backend::note_operand(&y, {512, 1536}, DType::bf16, true);
  try {
    check(CUBLAS_STATUS_NOT_SUPPORTED, "multiply");
    FAIL();
  } catch (const BackendError& error) {
    EXPECT_EQ(std::string(error.what()).find("cublaslt: cannot multiply: "), 0u);
    EXPECT_EQ(error.where(), "linear, bf16 (512, 384) -> bf16 (512, 1536)");
  }
  check(CUBLAS_STATUS_SUCCESS, "multiply");
}

}  // namespace
}  // namespace sing::cuda::cublaslt
