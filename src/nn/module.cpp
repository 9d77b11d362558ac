#include "sing/nn/module.h"

#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::nn {
namespace {

uint64_t hash_of(const std::string& name) {
  return hash_name(name.data(), name.size());
}

// The leaf that layers read. A gradient buffer moves along when its shape and place still fit.
void set_working(Parameter& p, Tensor working, const Tensor& gradient) {
  p.working = std::move(working);
  p.working.set_requires_grad(p.trainable);
  if (gradient.defined()) p.working.set_grad(gradient);
}

}  // namespace

Module::Module() : path_hash_(hash_of("")) {}
Module::~Module() = default;

template <class Self, class F>
void Module::walk(Self& self, const F& visit) {
  visit(self);
  for (const auto& child : self.children_) walk(static_cast<Self&>(*child), visit);
}

std::vector<Parameter*> Module::parameters() {
  std::vector<Parameter*> result;
  walk(*this, [&](Module& m) {
    for (ParameterEntry& entry : m.parameters_) result.push_back(&entry.parameter);
  });
  return result;
}

std::vector<const Parameter*> Module::parameters() const {
  std::vector<const Parameter*> result;
  walk(*this, [&](const Module& m) {
    for (const ParameterEntry& entry : m.parameters_) result.push_back(&entry.parameter);
  });
  return result;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> result;
  walk(*this, [&](const Module& m) {
    for (const BufferEntry& entry : m.buffers_)
      if (entry.tensor.defined()) result.push_back({entry.name, entry.tensor});
  });
  return result;
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> result;
  walk(*this, [&](Module& m) { result.push_back(&m); });
  return result;
}

Parameter* Module::find_parameter(std::string_view name) {
  for (Parameter* p : parameters())
    if (p->name == name) return p;
  return nullptr;
}

std::vector<Module::Description> Module::describe() const {
  std::vector<Description> result;
  walk(*this, [&](const Module& m) {
    for (const ParameterEntry& e : m.parameters_)
      result.push_back({e.parameter.name, e.shape, e.parameter.tags, e.parameter.trainable});
  });
  return result;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Description& d : describe()) count += d.shape.numel();
  return count;
}

int64_t Module::trainable_count() const {
  int64_t count = 0;
  for (const Description& d : describe())
    if (d.trainable) count += d.shape.numel();
  return count;
}

void Module::initialize(uint64_t seed) {
  const backend::MemoryScope memory(backend::MemoryPurpose::weights);
  walk(*this, [&](Module& m) {
    for (ParameterEntry& e : m.parameters_) {
      Parameter& p = e.parameter;
      p.value = Tensor::empty(e.shape);
      e.init.fill(p.value, {.seed = seed,
                            .purpose = Purpose::initial_weights,
                            .epoch = 0,
                            .position = hash_of(p.name)});
      set_working(p, p.value, {});
    }
    for (BufferEntry& b : m.buffers_) {
      if (!b.tensor.defined()) b.tensor = Tensor::empty(b.shape, {.dtype = b.dtype});
      b.tensor.fill(b.value);
    }
  });
}

bool Module::initialized() const {
  for (const Parameter* p : parameters())
    if (!p->value.defined()) return false;
  return true;
}

void Module::train(bool on) {
  walk(*this, [on](Module& m) { m.training_ = on; });
}

void Module::to(DType dtype) {
  if (!is_floating(dtype))
    throw DTypeError("to: parameters are floating; got " + std::string(name_of(dtype)));
  const backend::MemoryScope memory(backend::MemoryPurpose::weights);
  walk(*this, [&](Module& m) {
    for (ParameterEntry& e : m.parameters_) {
      e.parameter.value = e.parameter.value.to(dtype).detach();
      set_working(e.parameter, e.parameter.value, {});
    }
    for (BufferEntry& b : m.buffers_)
      if (is_floating(b.tensor.dtype())) b.tensor = b.tensor.to(dtype);
  });
}

void Module::to(Device device) {
  const backend::MemoryScope memory(backend::MemoryPurpose::weights);
  walk(*this, [&](Module& m) {
    for (ParameterEntry& e : m.parameters_) {
      Parameter& p = e.parameter;
      const bool copied = !p.working.same_as(p.value);
      p.value = p.value.to(device).detach();
      set_working(p, copied ? p.working.to(device).detach() : p.value, {});
    }
    for (BufferEntry& b : m.buffers_) b.tensor = b.tensor.to(device);
  });
}

void Module::set_precision(DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    throw DTypeError("set_precision: wanted f32, bf16 or f16; got " + std::string(name_of(dtype)));
  const backend::MemoryScope memory(backend::MemoryPurpose::weights);
  for (Parameter* p : parameters()) {
    SING_ASSERT(p->value.defined());
    const bool copied = dtype != DType::f32 && !p->keep_wide;
    const Tensor gradient = p->grad();
    if (copied) {
      set_working(*p, p->value.to(dtype).detach(), gradient);
    } else if (!p->working.same_as(p->value)) {
      set_working(*p, p->value, gradient);
    }
  }
}

void Module::sync_working() {
  for (Parameter* p : parameters())
    if (!p->working.same_as(p->value)) p->working.copy_from(p->value);
}

void Module::visit_state(StateVisitor& visitor) {
  for (Parameter* p : parameters()) visitor.visit(p->name, p->value);
  walk(*this, [&](Module& m) {
    for (BufferEntry& b : m.buffers_) visitor.visit(b.name, b.tensor);
  });
}

Parameter& Module::parameter(std::string name, const Shape& shape, const Init& init,
                             uint32_t tags) {
  Parameter p;
  p.name = path_.empty() ? std::move(name) : path_ + "." + name;
  p.tags = tags;
  for (const ParameterEntry& e : parameters_) SING_ASSERT(e.parameter.name != p.name);
  parameters_.push_back({std::move(p), shape, init});
  return parameters_.back().parameter;
}

Tensor& Module::buffer(std::string name, const Shape& shape, double value, DType dtype) {
  if (!path_.empty()) name = path_ + "." + name;
  buffers_.push_back({std::move(name), {}, shape, value, dtype});
  return buffers_.back().tensor;
}

void Module::adopt(std::string name, std::unique_ptr<Module> module) {
  if (!path_.empty()) name = path_ + "." + name;
  for (const auto& other : children_) SING_ASSERT(other->path_ != name);
  module->prepend_path(name);
  children_.push_back(std::move(module));
}

void Module::prepend_path(const std::string& prefix) {
  walk(*this, [&](Module& m) {
    m.path_ = m.path_.empty() ? prefix : prefix + "." + m.path_;
    m.path_hash_ = hash_of(m.path_);
    for (ParameterEntry& e : m.parameters_) e.parameter.name = prefix + "." + e.parameter.name;
    for (BufferEntry& b : m.buffers_) b.name = prefix + "." + b.name;
  });
}

}  // namespace sing::nn
