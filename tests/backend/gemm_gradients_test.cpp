// Products with the parts of a backward pass, by fast kernels and by the plain one.
#include "support/gradient_product.h"

namespace sing {
namespace {

TEST(GemmGradients, FastKernels) {
  test::check_gradient_products(DeviceType::cpu, {1, 30, 130});
}

TEST(GemmGradients, PlainKernel) {
  const backend::KernelPathGuard guard(backend::KernelPath::reference);
  test::check_gradient_products(DeviceType::cpu, {1, 30});
}

TEST(GemmGradients, SameBitsAsTheTwoPasses) {
  // Whoever calls the parts one by one gets the same numbers: the product first, then the pass.
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const test::GradientProduct p{.m = 33,
                                  .n = 70,
                                  .k = 50,
                                  .dtype = dtype,
                                  .c_dtype = dtype,
                                  .through = kernels::Epilogue::gelu};
    const test::GradientOperands in(p);
    test::GradientProduct plain = p;
    plain.through = kernels::Epilogue::none;
    Tensor c = Tensor::from(test::run(plain, in, DeviceType::cpu).c, {p.m, p.n}).to(dtype);
    kernels::ActivationGradArgs a{};
    a.grad = a.grad_pre = c.mutable_raw();
    a.kept = in.kept.raw();
    a.dtype = a.bias_grad_dtype = dtype;
    a.epilogue = p.through;
    a.m = p.m;
    a.n = p.n;
    kernels::activation_grad(DeviceType::cpu, a);
    EXPECT_EQ(test::run(p, in, DeviceType::cpu).c, c.to_vector()) << name_of(dtype);
  }
}

}  // namespace
}  // namespace sing
