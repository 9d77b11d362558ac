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

/// False where the library has no algorithm; nothing was written then.
bool try_product(const kernels::GemmArgs& g, const LibraryProduct& p) {
  LibraryOperands operands{g.b,
                           g.a,
                           g.c,
                           p.bias ? g.bias : nullptr,
                           p.to_slope ? g.slope : g.c,
                           p.keeps_input ? g.slope : nullptr};
  if (!p.accumulate) operands.c = operands.d;  // not read
#if defined(SING_CUDA_EMULATED)
  if (!emulator::multiply(p, g.dtype, g.c_dtype, operands, g.stream)) return false;
#else
  if (!cublaslt::multiply(p, g.dtype, g.c_dtype, operands, g.stream)) return false;
#endif
  if (p.pass)
    activation_pass({operands.d, g.c, g.c_dtype, g.epilogue, p.cols, p.rows, p.c.ld, p.batches,
                     p.c.batch_stride, g.stream});
  return true;
}

bool by_library(const kernels::GemmArgs& g) {
  const std::optional<LibraryProduct> fused = map_gemm(g, true);
  if (!fused) return false;
  if (try_product(g, *fused)) return true;
  if (fused->activation == LibraryActivation::none) return false;
  const std::optional<LibraryProduct> plain = map_gemm(g, false);
  return plain && try_product(g, *plain);
}

/// C *= act'(kept), where the product could not do it in its own write.
void through_activation(const kernels::GemmArgs& g) {
  kernels::ActivationGradArgs a{};
  a.grad = a.grad_pre = g.c;
  a.kept = g.kept;
  a.dtype = a.bias_grad_dtype = g.c_dtype;
  a.epilogue = g.epilogue;
  a.m = g.m;
  a.n = g.n;
  a.stream = g.stream;
  own_activation_grad(a);
}

/// The bias gradient, where the product could not sum its operand.
void sum_bias_grad(const kernels::GemmArgs& g) {
  kernels::ActivationGradArgs a{};
  a.grad = g.a;
  a.bias_grad = g.bias_grad;
  a.dtype = g.dtype;
  a.bias_grad_dtype = g.bias_grad_dtype;
  a.accumulate = g.bias_grad_accumulate;
  a.epilogue = kernels::Epilogue::none;
  a.m = g.k;
  a.n = g.m;
  a.stream = g.stream;
  own_activation_grad(a);
}

void product_and_passes(const kernels::GemmArgs& args) {
  kernels::GemmArgs product = args;
  if (args.bias_grad != nullptr) {
    sum_bias_grad(args);
    product.bias_grad = nullptr;
  }
  if (args.kept != nullptr) {
    product.kept = nullptr;
    product.epilogue = kernels::Epilogue::none;
  }
  if (!by_library(product)) own_gemm(product);
  if (args.kept != nullptr) through_activation(args);
}

/// Exact GELU, which cuBLASLt does not have, in the same kernel as the product. By own passes
/// unless SING_CUDA_GELU says otherwise: which is faster, a device has to show.
bool by_cudnn([[maybe_unused]] const kernels::GemmArgs& args) {
  static const Provider provider = read_provider("SING_CUDA_GELU");
  if (provider == Provider::own) return false;
#if defined(SING_CUDA_EMULATED)
  return false;
#else
  return cudnn::try_gelu_product(args, provider, [&] { product_and_passes(args); });
#endif
}

void gemm(const kernels::GemmArgs& args) {
  if (!by_cudnn(args)) product_and_passes(args);
}

SING_CUDA_KERNEL(kernels::gemm, gemm)

}  // namespace
}  // namespace sing::cuda
