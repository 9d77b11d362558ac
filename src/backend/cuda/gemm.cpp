// Matrix products: a library where it has them, our own kernel for the rest.
#include "kernels/cuda/gemm.h"

#include "backend/cuda/gemm_mapping.h"
#include "backend/cuda/switches.h"
#include "kernels/cuda/backend.h"
#if defined(SING_CUDA_EMULATED)
#include "cuda/emulator/products.h"
#else
#include "backend/cuda/cublaslt/library.h"
#include "backend/cuda/cudnn/matmul.h"
#endif

namespace sing::cuda {
namespace {

/// The bias gradient by our own kernel: the sums over `rows` dense rows of `n` elements.
void sum_rows(const kernels::GemmArgs& g, const void* from, DType dtype, int64_t rows, int64_t n) {
  kernels::ActivationGradArgs a{};
  a.grad = from;
  a.bias_grad = g.bias_grad;
  a.dtype = dtype;
  a.bias_grad_dtype = g.bias_grad_dtype;
  a.accumulate = g.bias_grad_accumulate;
  a.epilogue = kernels::Epilogue::none;
  a.m = rows;
  a.n = n;
  a.stream = g.stream;
  own_activation_grad(a);
}

/// C *= act'(kept) and the sums of that, where the product could not do it in its own write.
void through_activation(const kernels::GemmArgs& g) {
  kernels::ActivationGradArgs a{};
  a.grad = a.grad_pre = g.c;
  a.kept = g.kept;
  a.bias_grad = g.bias_grad;
  a.dtype = g.c_dtype;
  a.bias_grad_dtype = g.bias_grad_dtype;
  a.accumulate = g.bias_grad_accumulate;
  a.epilogue = g.epilogue;
  a.m = g.m;
  a.n = g.n;
  a.stream = g.stream;
  own_activation_grad(a);
}

/// The bias gradient that neither the product nor the pass behind it summed.
void sum_what_is_left(const kernels::GemmArgs& g, bool passed) {
  if (g.bias_grad == nullptr) return;
  if (g.kept == nullptr)
    sum_rows(g, g.a, g.dtype, g.k, g.m);
  else if (!passed)
    sum_rows(g, g.c, g.c_dtype, g.m, g.n);
}

/// False where the library has no algorithm; nothing was written then.
bool try_product(const kernels::GemmArgs& g, const LibraryProduct& p) {
  // The library overwrites with sums of its own dtype: aside where they are to be added or
  // narrowed.
  const bool aside = p.bias_grad && (g.bias_grad_accumulate || g.bias_grad_dtype != g.c_dtype);
  const Workspace sums(aside ? static_cast<size_t>(g.m) * size_of(g.c_dtype) : 0, g.stream);
  LibraryOperands operands{g.b,
                           g.a,
                           g.c,
                           p.bias ? g.bias : nullptr,
                           p.to_slope ? g.slope : g.c,
                           p.keeps_input ? g.slope : nullptr,
                           p.bias_grad ? (aside ? sums.data() : g.bias_grad) : nullptr};
  if (p.activation == LibraryActivation::gelu_tanh_grad) operands.kept = const_cast<void*>(g.kept);
  if (!p.accumulate) operands.c = operands.d;  // not read
#if defined(SING_CUDA_EMULATED)
  if (!emulator::multiply(p, g.dtype, g.c_dtype, operands, g.stream)) return false;
#else
  if (!cublaslt::multiply(p, g.dtype, g.c_dtype, operands, g.stream)) return false;
#endif
  if (p.pass && g.kept != nullptr)
    through_activation(g);
  else if (p.pass)
    activation_pass({operands.d, g.c, g.c_dtype, g.epilogue, p.cols, p.rows, p.c.ld, p.batches,
                     p.c.batch_stride, g.stream});
  if (aside)
    sum_rows(g, sums.data(), g.c_dtype, 1, g.m);
  else if (!p.bias_grad)
    sum_what_is_left(g, p.pass);
  return true;
}

bool by_library(const kernels::GemmArgs& g) {
  const bool fuse = library_epilogues();
  const std::optional<LibraryProduct> fused = map_gemm(g, fuse);
  if (!fused) return false;
  if (try_product(g, *fused)) return true;
  if (fused->activation == LibraryActivation::none && !fused->bias_grad) return false;
  return try_product(g, *map_gemm(g, false));
}

void product_and_passes(const kernels::GemmArgs& args) {
  if (by_library(args)) return;
  kernels::GemmArgs product = args;
  product.bias_grad = nullptr;
  product.kept = nullptr;
  if (args.kept != nullptr) product.epilogue = kernels::Epilogue::none;
  own_gemm(product);
  if (args.kept != nullptr) through_activation(args);
  sum_what_is_left(args, true);
}

/// Exact GELU, which cuBLASLt does not have, in the same kernel as the product. By own passes
/// unless SING_CUDA_GELU says otherwise: which is faster, a device has to show.
bool by_cudnn([[maybe_unused]] const kernels::GemmArgs& args) {
  static const Provider provider = read_provider("SING_CUDA_GELU");
  if (provider == Provider::own) return false;
#if defined(SING_CUDA_EMULATED)
  return false;
#else
  kernels::GemmArgs product = args;  // timed without the sums, which would be added each time
  if (args.kept != nullptr) product.bias_grad = nullptr;
  if (!cudnn::try_gelu_product(product, provider, [&] { product_and_passes(product); }))
    return false;
  sum_what_is_left(args, false);
  return true;
#endif
}

void gemm(const kernels::GemmArgs& args) {
  if (!by_cudnn(args)) product_and_passes(args);
}

SING_CUDA_KERNEL(kernels::gemm, gemm)

}  // namespace
}  // namespace sing::cuda
