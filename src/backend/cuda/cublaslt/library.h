#pragma once
#include <cstdint>
#include <memory>

#include "backend/cuda/cublaslt/describe.h"
#include "backend/plan_cache.h"

// Matrix products by cuBLASLt: f32 in full precision (TF32 with allow_tf32()), bf16 with f32 sums;
// the parts of a split sum stay in f32 and are added in one order.
namespace sing::cuda::cublaslt {

/// False where cuBLASLt has no algorithm; nothing was written then. Throws BackendError.
bool multiply(const LibraryProduct& p, DType dtype, DType c_dtype, const LibraryOperands& operands,
              Stream stream);

/// cuBLASLt on this process's device: one handle and the algorithms in use. Thread-safe.
class Library {
 public:
  /// Started by the first call; lives until the process ends. Throws BackendError.
  static Library& get();

  /// The algorithm for `p` on operands aligned like these; null when there is none (asked once,
  /// then remembered).
  std::shared_ptr<const Product> find(const LibraryProduct& p, DType dtype, DType c_dtype,
                                      const LibraryOperands& operands);
  void run(const Product& product, const LibraryProduct& p, DType dtype, DType c_dtype,
           const LibraryOperands& operands, Stream stream);

 private:
  Library();
  std::shared_ptr<const Product> choose(const LibraryProduct& p, DType dtype, DType c_dtype,
                                        const LibraryOperands& operands);

  cublasLtHandle_t handle_ = nullptr;
  backend::PlanCache<Product> products_;
};

}  // namespace sing::cuda::cublaslt
