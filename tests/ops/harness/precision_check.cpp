// Narrower dtypes against f64 on the same numbers: both kernel paths, every layout, wider gradient
// buffers, autocast.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/harness/checks.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/kernel_slot.h"

namespace sing::test {
namespace {

using backend::KernelPath;
using Vector = std::vector<double>;

double norm(const Vector& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}
double largest(const Vector& x) {
  double found = 0;
  for (const double v : x) found = std::max(found, std::abs(v));
  return found;
}

/// |got - wanted| within `allowed` of |wanted|, in the Euclidean and in the largest-element norm.
/// `floor` is a size below which a result that cancels to nothing is not asked to be relative.
void expect_close(const Vector& got, const Vector& wanted, double allowed, double floor,
                  const std::string& where) {
  ASSERT_EQ(got.size(), wanted.size()) << where;
  Vector error(got.size());
  for (size_t i = 0; i < got.size(); ++i) error[i] = got[i] - wanted[i];
  const double rms = norm(wanted) + floor * std::sqrt(static_cast<double>(wanted.size()));
  EXPECT_TRUE(norm(error) <= allowed * rms)
      << where << ": error " << norm(error) / rms << " of the norm, allowed " << allowed;
  EXPECT_TRUE(largest(error) <= 4 * allowed * (largest(wanted) + floor))
      << where << ": largest error " << largest(error) << ", largest element " << largest(wanted);
}

}  // namespace

void expect_run_close(const Run& got, const Run& wanted, double allowed, const Prepared& p,
                      double gradient_floor, const std::string& where) {
  ASSERT_EQ(got.shape, wanted.shape) << where;
  if (!is_floating(wanted.dtype)) {
    EXPECT_EQ(got.dtype, wanted.dtype) << where;
    EXPECT_EQ(got.output, wanted.output) << where;
    return;
  }
  expect_close(got.output, wanted.output, allowed, 1e-3, where + ", output");
  ASSERT_EQ(got.gradients.size(), wanted.gradients.size()) << where;
  for (size_t k = 0; k < wanted.gradients.size(); ++k)
    expect_close(got.gradients[k], wanted.gradients[k], allowed, gradient_floor,
                 where + ", gradient of " + p.sample.inputs[p.differentiable[k]].name);
}

double allowed(const OpCase& c, DType dtype, const Sample& sample, const Shape& out) {
  double dim = 1, most = static_cast<double>(out.numel()), least = std::max(most, 1.0);
  const auto see = [&](const Shape& s) {
    for (const int64_t d : s) dim = std::max(dim, static_cast<double>(d));
    most = std::max(most, static_cast<double>(s.numel()));
    if (s.numel() > 0) least = std::min(least, static_cast<double>(s.numel()));
  };
  see(out);
  for (const InputSpec& spec : sample.inputs) see(spec.shape);
  return c.allowed(dtype, dim, most / least);
}

namespace {

/// Low-precision leaves whose gradient buffer is f32 and already holds numbers.
void check_wide_buffers(const OpCase& c, const Prepared& p, DType dtype, const Run& wanted,
                        double bound, const std::string& where) {
  Inputs inputs = p.tensors(dtype, Layout::dense);
  for (const size_t i : p.differentiable) {
    const InputSpec& spec = p.sample.inputs[i];
    inputs.at(spec.name).set_requires_grad().set_grad(
        Tensor::full(spec.shape, 0.5, {.dtype = DType::f32}));
  }
  const Tensor out = p.sample.op(inputs);
  out.backward(Tensor::from(output_gradient(c, p.sample, out.shape(), Layout::dense), out.shape())
                   .to(out.dtype()));
  for (size_t k = 0; k < p.differentiable.size(); ++k) {
    const InputSpec& spec = p.sample.inputs[p.differentiable[k]];
    EXPECT_EQ(inputs[spec.name].grad().dtype(), DType::f32) << where;
    Vector sum = wanted.gradients[k];
    for (double& g : sum) g += 0.5;
    expect_close(inputs[spec.name].grad().to_vector(), sum, bound, c.gradient_floor(),
                 where + ", f32 buffer of " + spec.name);
  }
}

void check_autocast(const OpCase& c, const Prepared& p, const Run& wanted,
                    const std::string& where) {
  const autocast::Guard guard(DType::bf16);
  const Run got = run(c, p, DType::f32, Layout::dense);
  expect_run_close(got, wanted, allowed(c, DType::bf16, p.sample, wanted.shape), p,
                   c.gradient_floor(), where + ", autocast");
}

}  // namespace

void check_precision(const OpCase& c) {
  for (const Sample& sample : c.samples()) {
    for (const Layout layout : c.layouts(sample)) {
      const Prepared p(c, sample, layout);
      Run wanted, strided;
      {
        const backend::KernelPathGuard reference(KernelPath::reference);
        wanted = run(c, p, DType::f64, Layout::dense);
        strided = run(c, p, DType::f64, layout);
      }
      const std::string where = c.name() + ", sample " + sample.name + ", " + name_of(layout);
      // Strides may change the order of sums, nothing else.
      expect_run_close(strided, wanted, 1e-12, p, c.gradient_floor(), where + ", strides");
      if (sample.formula) {
        // Both are f64: they differ by the order of sums only.
        expect_close(wanted.output, sample.formula(p.tensors(DType::f64, Layout::dense)), 1e-12,
                     1e-3, where + ", formula");
      }
      for (const DType dtype : c.dtypes()) {
        for (const KernelPath path : {KernelPath::automatic, KernelPath::reference}) {
          const backend::KernelPathGuard guard(path);
          const Run got = run(c, p, dtype, layout);
          expect_run_close(
              got, wanted, allowed(c, dtype, sample, wanted.shape), p, c.gradient_floor(),
              where + ", " + std::string(sing::name_of(dtype)) +
                  (path == KernelPath::automatic ? ", fast kernels" : ", reference kernels"));
        }
        if (layout == Layout::dense && !wanted.gradients.empty() && size_of(dtype) == 2)
          check_wide_buffers(c, p, dtype, wanted, allowed(c, dtype, sample, wanted.shape),
                             where + ", " + std::string(sing::name_of(dtype)));
      }
      if (layout == Layout::dense) check_autocast(c, p, wanted, where);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace sing::test
