#include "backend/cuda/cublaslt/library.h"

#include <algorithm>
#include <string>

#include "backend/cuda/product_text.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/switches.h"
#include "sing/core/error.h"
#include "sing/core/log.h"

namespace sing::cuda::cublaslt {
namespace {

constexpr size_t kProducts = 1024;
constexpr uint64_t kHopperWorkspace = uint64_t{32} << 20;  // NVIDIA's advice, 4 MiB before Hopper
constexpr uint64_t kWorkspace = uint64_t{4} << 20;
constexpr double kLargeProduct = 1e9;  // operations; what does without the library is told of

/// Largest power of two up to 256 that divides the address; 256 for none.
uint32_t alignment(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return static_cast<uint32_t>(std::min<uintptr_t>(256, address == 0 ? 256 : address & -address));
}

/// Owns what the heuristic is told.
class Preference {
 public:
  explicit Preference(const LibraryOperands& operands) {
    check(cublasLtMatmulPreferenceInit(&value_), "ask for an algorithm");
    const bool hopper = runtime().properties().major >= 9;
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, hopper ? kHopperWorkspace : kWorkspace);
    // Parts of a split sum are kept in f32 and added in one order; "in place" would round them to
    // the dtype of C in between.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(operands.a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(operands.b));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(operands.c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(operands.d));
  }
  cublasLtMatmulPreference_t get() { return &value_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t name, const T& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&value_, name, &value, sizeof value),
          "ask for an algorithm");
  }
  cublasLtMatmulPreferenceOpaque_t value_;
};

backend::PlanCache<Product>::Key key_of(const LibraryProduct& p, DType dtype, DType c_dtype,
                                        const LibraryOperands& o) {
  const int64_t flags = (p.a.transposed ? 1 : 0) | (p.b.transposed ? 2 : 0) | (p.bias ? 4 : 0) |
                        (p.accumulate ? 8 : 0) | (p.keeps_input ? 16 : 0) | (o.c == o.d ? 32 : 0) |
                        (p.bias_grad ? 64 : 0);
  return {p.rows,
          p.cols,
          p.depth,
          p.batches,
          p.a.ld,
          p.a.batch_stride,
          p.b.ld,
          p.b.batch_stride,
          p.c.ld,
          p.c.batch_stride,
          flags,
          static_cast<int64_t>(p.activation),
          static_cast<int64_t>(dtype),
          static_cast<int64_t>(c_dtype),
          alignment(o.a),
          alignment(o.b),
          alignment(o.c),
          alignment(o.d),
          alignment(o.bias),
          alignment(o.kept),
          alignment(o.bias_grad)};
}

}  // namespace

bool multiply(const LibraryProduct& p, DType dtype, DType c_dtype, const LibraryOperands& operands,
              Stream stream) {
  Library& library = Library::get();
  const auto product = library.find(p, dtype, c_dtype, operands);
  if (product == nullptr) return false;
  library.run(*product, p, dtype, c_dtype, operands, stream);
  return true;
}

Library& Library::get() {
  static Library* library = new Library;  // never destroyed: others' destructors may still call
  return *library;
}

Library::Library() : products_(kProducts) {
  check(cublasLtCreate(&handle_), "start");
}

std::shared_ptr<const Product> Library::find(const LibraryProduct& p, DType dtype, DType c_dtype,
                                             const LibraryOperands& operands) {
  return products_.get(key_of(p, dtype, c_dtype, operands),
                       [&] { return choose(p, dtype, c_dtype, operands); });
}

std::shared_ptr<const Product> Library::choose(const LibraryProduct& p, DType dtype, DType c_dtype,
                                               const LibraryOperands& operands) {
  auto product = std::make_shared<Product>(describe(p, dtype, c_dtype, operands, allow_tf32()));
  Preference preference(operands);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, &product->operation, &product->a, &product->b, &product->c, &product->c,
      preference.get(), 1, &result, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0 || result.state != CUBLAS_STATUS_SUCCESS) {
    std::string words = "cublaslt: no algorithm for a product of " + std::to_string(p.cols) +
                        " x " + std::to_string(p.depth) + " and " + std::to_string(p.depth) +
                        " x " + std::to_string(p.rows) + ", " + std::to_string(p.batches) +
                        " times (" + cublasLtGetStatusString(status) + ")";
    // A product with more in its epilogue is asked for again without.
    const bool bare = p.activation == LibraryActivation::none && !p.bias_grad;
    if (bare &&
        2.0 * static_cast<double>(p.rows * p.cols) * static_cast<double>(p.depth * p.batches) >=
            kLargeProduct)
      log_warning(words + ": our own, much slower product serves it");
    else
      log_info(words);
    return nullptr;
  }
  product->algorithm = result.algo;
  product->workspace = result.workspaceSize;
  product->waves = result.wavesCount;
  if (!p.bias_grad) return product;
  LibraryProduct plain = p;
  plain.bias_grad = false;
  const auto without = choose(plain, dtype, c_dtype, operands);
  if (without == nullptr || as_busy(product->waves, without->waves)) return product;
  log_info("cublaslt: bias gradients apart from a product of " + std::to_string(p.cols) + " x " +
           std::to_string(p.depth) + " and " + std::to_string(p.depth) + " x " +
           std::to_string(p.rows) + ": " + std::to_string(product->waves) + " waves with them, " +
           std::to_string(without->waves) + " without");
  return nullptr;
}

void Library::run(const Product& product, const LibraryProduct& p, DType dtype, DType c_dtype,
                  const LibraryOperands& operands, Stream stream) {
  cublasLtMatmulDescOpaque_t operation = product.operation;
  cublasLtMatrixLayoutOpaque_t a = product.a, b = product.b, c = product.c;
  set_pointers(operation, p, operands);
  const float alpha = 1, beta = p.accumulate ? 1.0f : 0.0f;
  const auto multiply = [&](void* workspace) {
    launching(stream);
    check(cublasLtMatmul(handle_, &operation, &alpha, operands.a, &a, operands.b, &b, &beta,
                         operands.c, &c, operands.d, &c, &product.algorithm, workspace,
                         product.workspace, native(stream)),
          "multiply");
  };
  if (product.workspace == 0) {
    multiply(nullptr);
  } else {
    const Workspace workspace(product.workspace, stream);
    multiply(workspace.data());
  }
  launched(stream, [&] { return describe_product(p, dtype, c_dtype); });
}

}  // namespace sing::cuda::cublaslt
