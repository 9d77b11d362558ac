#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ops/harness/checks.h"
#include "sing/core/random.h"

namespace sing::test {
namespace {

uint64_t hash_of(const std::string& text) {
  return hash_name(text.data(), text.size());
}

double to_bf16(double x) {
  return static_cast<double>(static_cast<float>(bfloat16(static_cast<float>(x))));
}

double draw(const Fill& fill, Random& random, size_t i) {
  switch (fill.kind) {
    case Fill::Kind::normal:
      return fill.a * random.normal();
    case Fill::Kind::uniform:
      return fill.a + (fill.b - fill.a) * random.uniform();
    case Fill::Kind::away: {
      double x = random.normal();
      for (const double kink : fill.list)
        if (std::abs(x - kink) < fill.a)
          x = kink + (x < kink ? -1 : 1) * fill.a * (1 + random.uniform());
      return x;
    }
    case Fill::Kind::distinct: {
      // 1021 is prime: steps of any other length meet every residue. The magnitudes are the 512
      // bf16 numbers from 0.25 to 4, at least 2^-9 apart: far wider than the step of a difference.
      const size_t k = (i * 263 + 37) % 1021;
      const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(0x3E80 + k / 2) << 16);
      return static_cast<double>(k % 2 == 0 ? magnitude : -magnitude);
    }
    case Fill::Kind::index:
      return static_cast<double>(random.below(static_cast<uint64_t>(fill.a)));
    case Fill::Kind::boolean:
      return random.uniform() < fill.a ? 1 : 0;
    case Fill::Kind::values:
      return fill.list[i % fill.list.size()];
  }
  return 0;
}

Tensor reversed(const Tensor& dense) {
  std::vector<int> order;
  std::vector<int64_t> dims;
  for (int d = dense.rank() - 1; d >= 0; --d) {
    order.push_back(d);
    dims.push_back(dense.size(d));
  }
  Tensor view = Tensor::empty(Shape(std::span<const int64_t>(dims)),
                              {.dtype = dense.dtype(), .device = dense.device()})
                    .permute(std::span<const int>(order));
  view.copy_from(dense);
  return view;
}

/// A reader that leaves the slice meets NaN, or an index far outside.
Tensor cut_out(const Tensor& dense) {
  std::vector<int64_t> dims;
  for (int d = 0; d < dense.rank(); ++d) dims.push_back(dense.size(d) + 2);
  if (dims.empty()) dims.push_back(3);
  Tensor view = Tensor::full(Shape(std::span<const int64_t>(dims)),
                             is_floating(dense.dtype()) ? std::numeric_limits<double>::quiet_NaN()
                             : dense.dtype() == DType::i64 ? 0x1p40
                             : dense.dtype() == DType::i32 ? 0x1p30
                                                           : 1,
                             {.dtype = dense.dtype(), .device = dense.device()});
  for (int d = 0; d < dense.rank(); ++d) view = view.narrow(d, 1, dense.size(d));
  if (dense.rank() == 0) view = view.narrow(0, 1, 1).squeeze(0);
  view.copy_from(dense);
  return view;
}

bool stretches(const Shape& shape) {
  return shape.rank() >= 1 && shape[0] > 1;
}

}  // namespace

Fill Fill::normal(double scale) {
  return {Kind::normal, scale, 0, {}};
}
Fill Fill::uniform(double low, double high) {
  return {Kind::uniform, low, high, {}};
}
Fill Fill::away_from(std::vector<double> kinks, double margin) {
  return {Kind::away, margin, 0, std::move(kinks)};
}
Fill Fill::distinct() {
  return {Kind::distinct, 0, 0, {}};
}
Fill Fill::index(int64_t n) {
  return {Kind::index, static_cast<double>(n), 0, {}};
}
Fill Fill::boolean(double probability) {
  return {Kind::boolean, probability, 0, {}};
}
Fill Fill::values(std::vector<double> row_major) {
  return {Kind::values, 0, 0, std::move(row_major)};
}
Fill Fill::constant(double value) {
  return {Kind::values, 0, 0, {value}};
}

InputSpec in(std::string name, const Shape& shape, Fill fill) {
  InputSpec spec{std::move(name), shape, std::move(fill), true, {}, false};
  if (spec.fill.kind == Fill::Kind::index) spec = spec.keep(DType::i64);
  if (spec.fill.kind == Fill::Kind::boolean) spec = spec.keep(DType::boolean);
  return spec;
}
InputSpec InputSpec::no_grad() const {
  InputSpec changed = *this;
  changed.differentiable = false;
  return changed;
}
InputSpec InputSpec::keep(DType fixed) const {
  InputSpec changed = *this;
  changed.dtype = fixed;
  if (!is_floating(fixed)) changed.differentiable = false;
  return changed;
}
InputSpec InputSpec::keep_wide() const {
  InputSpec changed = *this;
  changed.wide = true;
  return changed;
}

const Tensor& Inputs::operator[](const std::string& name) const {
  return const_cast<Inputs*>(this)->at(name);
}
Tensor& Inputs::at(const std::string& name) {
  for (NamedTensor& t : tensors_)
    if (t.name == name) return t.tensor;
  throw InternalError("op case: the sample has no input \"" + name + "\"");
}
void Inputs::add(std::string name, Tensor tensor) {
  tensors_.push_back({std::move(name), std::move(tensor)});
}

std::vector<double> make_values(const OpCase& c, const Sample& sample, const InputSpec& spec,
                                Layout layout) {
  Random random({.seed = hash_of(c.name()),
                 .purpose = Purpose::test,
                 .epoch = hash_of(sample.name),
                 .position = hash_of(spec.name)});
  const bool integers = spec.dtype && !is_floating(*spec.dtype);
  const size_t n = static_cast<size_t>(spec.shape.numel());
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) {
    const double x = draw(spec.fill, random, i);
    values[i] = integers ? x : to_bf16(x);
  }
  if (layout == Layout::expanded && stretches(spec.shape) && n > 0) {
    const size_t row = n / static_cast<size_t>(spec.shape[0]);
    for (size_t i = row; i < n; ++i) values[i] = values[i - row];
  }
  return values;
}

Tensor lay_out(const std::vector<double>& values, const Shape& shape, DType dtype, Layout layout,
               Device device) {
  const Tensor dense = Tensor::from(values, shape).to(dtype).to(device);
  switch (layout) {
    case Layout::dense:
      return dense;
    case Layout::permuted:
      return shape.rank() >= 2 ? reversed(dense) : dense;
    case Layout::sliced:
      return cut_out(dense);
    case Layout::expanded:
      return stretches(shape) ? dense.narrow(0, 0, 1).clone().expand(shape) : dense;
    case Layout::channels_last:
      return shape.rank() == 4 ? dense.contiguous(MemoryFormat::channels_last) : dense;
  }
  return dense;
}

std::vector<double> output_gradient(const OpCase& c, const Sample& sample, const Shape& shape,
                                    Layout layout) {
  return make_values(c, sample, in("gradient of the output", shape), layout);
}

Prepared::Prepared(const OpCase& c, const Sample& s, Layout layout) : sample(s), values_of(layout) {
  for (size_t i = 0; i < s.inputs.size(); ++i) {
    values.push_back(make_values(c, s, s.inputs[i], layout));
    if (s.inputs[i].differentiable) differentiable.push_back(i);
  }
}

DType Prepared::dtype_of(size_t input, DType dtype) const {
  const InputSpec& spec = sample.inputs[input];
  if (spec.dtype) return *spec.dtype;
  return spec.wide && dtype != DType::f64 ? DType::f32 : dtype;
}

Inputs Prepared::tensors(DType dtype, Layout layout, Device device) const {
  Inputs inputs;
  for (size_t i = 0; i < values.size(); ++i)
    inputs.add(sample.inputs[i].name,
               lay_out(values[i], sample.inputs[i].shape, dtype_of(i, dtype), layout, device));
  return inputs;
}

Run run(const OpCase& c, const Prepared& p, DType dtype, Layout layout, Device device) {
  Inputs inputs = p.tensors(dtype, layout, device);
  for (const size_t i : p.differentiable) inputs.at(p.sample.inputs[i].name).set_requires_grad();
  const Tensor out = p.sample.op(inputs);
  Run result{out.shape(), out.dtype(), out.to_vector(), {}};
  if (p.differentiable.empty() || !out.requires_grad()) return result;
  out.backward(lay_out(output_gradient(c, p.sample, out.shape(), p.values_of), out.shape(),
                       out.dtype(), layout, device));
  for (const size_t i : p.differentiable) {
    const Tensor& grad = inputs[p.sample.inputs[i].name].grad();
    result.gradients.push_back(grad.defined() ? grad.to_vector()
                                              : std::vector<double>(p.values[i].size()));
  }
  return result;
}

}  // namespace sing::test
