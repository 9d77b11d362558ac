// Products with the parts of a backward pass: the product by whatever kernel is best, then one pass
// of activation_grad over what is still in the cache.
#include "kernels/gemm.h"
#include "sing/core/error.h"

namespace sing::kernels {
namespace {

/// Whether activation_grad sees the operands as dense matrices; GemmArgs promises it.
bool dense(const GemmArgs& g) {
  return g.batch_rank == 0 && (g.kept == nullptr || g.c_row == g.n) &&
         (g.bias_grad == nullptr || g.kept != nullptr || (g.a_row == 1 && g.a_col == g.m));
}

/// C *= act'(kept), and the sums of that.
void through_activation(const GemmArgs& g) {
  ActivationGradArgs a{};
  a.grad = a.grad_pre = g.c;
  a.kept = g.kept;
  a.bias_grad = g.bias_grad;
  a.dtype = g.c_dtype;
  a.bias_grad_dtype = g.bias_grad_dtype;
  a.accumulate = g.bias_grad_accumulate;
  a.epilogue = g.epilogue;
  a.m = g.m;
  a.n = g.n;
  activation_grad(DeviceType::cpu, a);
}

void sum_operand(const GemmArgs& g) {
  ActivationGradArgs a{};
  a.grad = g.a;
  a.bias_grad = g.bias_grad;
  a.dtype = g.dtype;
  a.bias_grad_dtype = g.bias_grad_dtype;
  a.accumulate = g.bias_grad_accumulate;
  a.epilogue = Epilogue::none;
  a.m = g.k;
  a.n = g.m;
  activation_grad(DeviceType::cpu, a);
}

bool gemm_by_parts(const GemmArgs& g) {
  if (g.kept == nullptr && g.bias_grad == nullptr) return false;
  SING_ASSERT(dense(g));
  // The sums first: dY is in the cache while it is fresh.
  if (g.kept == nullptr) sum_operand(g);
  GemmArgs product = g;
  product.bias_grad = nullptr;
  if (g.kept != nullptr) {
    product.kept = nullptr;
    product.epilogue = Epilogue::none;
  }
  gemm(DeviceType::cpu, product);
  if (g.kept != nullptr) through_activation(g);
  return true;
}

// Before every other kernel: these know neither field.
SING_FAST_KERNEL(gemm, gemm_by_parts, 1000, "by_parts")

}  // namespace
}  // namespace sing::kernels
