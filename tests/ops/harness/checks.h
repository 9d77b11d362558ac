#pragma once
// The checks behind SING_OP_CASE, and what they share.
#include <string>
#include <vector>

#include "support/op_case.h"

namespace sing::test {

/// Row-major numbers, exact in bf16, of one input (or of the output gradient).
std::vector<double> make_values(const OpCase& c, const Sample& sample, const InputSpec& spec,
                                Layout layout);
/// A tensor that holds `values` with the strides of `layout` (dense where it does not apply).
Tensor lay_out(const std::vector<double>& values, const Shape& shape, DType dtype, Layout layout,
               Device device = {});

/// One sample with numbers: `dtype` replaces what is not fixed.
struct Prepared {
  Prepared(const OpCase& c, const Sample& sample, Layout layout);
  Inputs tensors(DType dtype, Layout layout, Device device = {}) const;
  DType dtype_of(size_t input, DType dtype) const;
  const Sample& sample;
  Layout values_of;                         // whose numbers these are (expanded ones repeat)
  std::vector<std::vector<double>> values;  // by input
  std::vector<size_t> differentiable;       // positions of inputs that get a gradient
};

/// Output and gradients of one run, in row-major doubles; no_grad when the output is not floating.
struct Run {
  Shape shape;
  DType dtype = DType::f32;
  std::vector<double> output;
  std::vector<std::vector<double>> gradients;  // by differentiable input; 0 where none came
};
/// Random output gradient of a sample.
std::vector<double> output_gradient(const OpCase& c, const Sample& sample, const Shape& shape,
                                    Layout layout);
/// Forward and, when something is differentiable, backward from output_gradient; tensors with the
/// strides of `layout`.
Run run(const OpCase& c, const Prepared& p, DType dtype, Layout layout, Device device = {});

/// Relative error that `c` allows a result of shape `out`.
double allowed(const OpCase& c, DType dtype, const Sample& sample, const Shape& out);
/// Output and gradients of `got` against those of `wanted`, in the Euclidean and in the
/// largest-element norm.
void expect_run_close(const Run& got, const Run& wanted, double allowed, const Prepared& p,
                      double gradient_floor, const std::string& where);

void check_gradients(const OpCase& c);
void check_precision(const OpCase& c);
void check_slots(const OpCase& c);
void check_rejects(const OpCase& c);

/// The tests that each case becomes in this program; defined beside the tests (battery.cpp).
struct Check {
  const char* name;
  void (*run)(const OpCase&);
};
std::vector<Check> battery();

/// Every case, built.
std::vector<OpCase> all_op_cases();

}  // namespace sing::test
