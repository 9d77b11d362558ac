#include "sing/optim/param_table.h"

#include <unordered_set>

#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/tensor/wrap.h"

namespace sing::optim {
namespace {

bool is_supported_layout(const Tensor& t) {
  return t.is_contiguous() || t.is_channels_last();
}

/// The part of `flat` from `offset` with the shape and strides of `like`. It gets a storage of its
/// own, so that its write counter tells whether this very tensor was written.
Tensor cut(const Tensor& flat, int64_t offset, const Tensor& like) {
  char* data = static_cast<char*>(flat.storage()->data()) +
               offset * static_cast<int64_t>(size_of(flat.dtype()));
  if (like.is_contiguous())
    return wrap_on(flat.device(), data, like.shape(), flat.dtype(), flat.storage());
  const Shape nhwc{like.size(0), like.size(2), like.size(3), like.size(1)};
  return wrap_on(flat.device(), data, nhwc, flat.dtype(), flat.storage()).permute({0, 3, 1, 2});
}

}  // namespace

ParamTable::ParamTable(std::span<nn::Parameter* const> parameters,
                       std::span<const GroupRule> rules) {
  groups_.emplace_back();
  groups_.insert(groups_.end(), rules.begin(), rules.end());
  std::vector<bool> used(rules.size(), false);
  std::unordered_set<const nn::Parameter*> seen;  // tied weights count once
  std::unordered_set<std::string> names;
  for (nn::Parameter* parameter : parameters) {
    if (!seen.insert(parameter).second) continue;
    if (!names.insert(parameter->name).second)
      throw ConfigError("two parameters are called '" + parameter->name + "'", {},
                        "optimizer state is kept by name");
    int group = 0;
    for (size_t r = 0; r < rules.size(); ++r) {
      if (!rules[r].match.matches(*parameter)) continue;
      used[r] = true;
      if (group == 0) group = static_cast<int>(r) + 1;
    }
    take(*parameter, group);
  }
  for (size_t r = 0; r < rules.size(); ++r)
    if (!used[r])
      throw ConfigError("optimizer.groups[" + std::to_string(r) +
                            "]: " + rules[r].match.to_string() + " matches no parameter",
                        {}, "list the names with: sing summary", "E0220");
  if (tensors_.empty())
    throw ConfigError("nothing to train: every parameter is frozen", {}, "look at optimizer.groups",
                      "E0221");
  {
    const backend::MemoryScope memory(backend::MemoryPurpose::gradients);
    gradients_ = make_buffer();
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Entry& entry = tensors_[i];
    metas_.push_back(entry.meta);
    entry.gradient = gradients_.slices[i];
    entry.version_at_clear = entry.gradient.storage()->version();
    entry.parameter->working.set_requires_grad(true);
    entry.parameter->working.set_grad(entry.gradient);
  }
}

void ParamTable::take(nn::Parameter& parameter, int group) {
  if (!parameter.trainable || groups_[static_cast<size_t>(group)].freeze) {
    parameter.trainable = false;
    parameter.working.set_requires_grad(false);
    parameter.working.set_grad({});
    ++frozen_;
    return;
  }
  const Tensor& value = parameter.value;
  if (value.dtype() != DType::f32 && value.dtype() != DType::f64)
    throw DTypeError("the optimizer trains f32 or f64 values; " + parameter.name + " is " +
                     std::string(name_of(value.dtype())));
  if (!tensors_.empty() && value.dtype() != dtype_)
    throw DTypeError("all trained values must have one dtype; " + parameter.name + " is " +
                     std::string(name_of(value.dtype())) + ", " + tensors_[0].meta.name + " is " +
                     std::string(name_of(dtype_)));
  const Tensor& working = parameter.working;
  if (!is_supported_layout(value) || !std::ranges::equal(value.strides(), working.strides()))
    throw ShapeError("parameter " + parameter.name +
                     ": value and working copy must be dense, in the same order");
  if (!tensors_.empty() && value.device() != device_)
    throw DeviceError("all trained values must be on one device; " + parameter.name + " is on " +
                      to_string(value.device()) + ", " + tensors_[0].meta.name + " on " +
                      to_string(device_));
  dtype_ = value.dtype();
  device_ = value.device();
  Entry entry;
  entry.parameter = &parameter;
  entry.meta = {.name = parameter.name,
                .shape = value.shape(),
                .tags = parameter.tags,
                .dtype = value.dtype(),
                .rows = value.rank() == 0 ? 1 : value.size(0),
                .cols = value.rank() == 0 ? 1 : value.shape().numel_between(1, value.rank()),
                .group = group,
                .channels_last = !value.is_contiguous()};
  numel_ += value.numel();
  tensors_.push_back(std::move(entry));
}

int ParamTable::find(std::string_view name) const {
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].meta.name == name) return static_cast<int>(i);
  return -1;
}

ParamTable::Buffer ParamTable::make_buffer(std::span<const uint8_t> wanted) const {
  const auto left_out = [&](size_t i) { return !wanted.empty() && wanted[i] == 0; };
  int64_t length = 0;
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!left_out(i)) length += tensors_[i].padded();
  Buffer buffer;
  buffer.flat = Tensor::zeros({length}, {.dtype = dtype_, .device = device_});
  int64_t offset = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    buffer.slices.emplace_back();
    if (left_out(i)) continue;
    buffer.slices.back() = cut(buffer.flat, offset, tensors_[i].parameter->value);
    offset += tensors_[i].padded();
  }
  return buffer;
}

void ParamTable::zero_grad() {
  gradients_.flat.fill(0);
  for (Entry& entry : tensors_) {
    entry.presence = Presence::by_version;
    entry.version_at_clear = entry.gradient.storage()->version();
  }
}

bool ParamTable::present(size_t i) const {
  const Entry& entry = tensors_[i];
  if (entry.presence != Presence::by_version) return entry.presence == Presence::yes;
  return entry.gradient.storage()->version() != entry.version_at_clear;
}

void ParamTable::set_present(size_t i, bool present) {
  tensors_[i].presence = present ? Presence::yes : Presence::no;
}

void ParamTable::visit_gradients(StateVisitor& visitor) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Entry& entry = tensors_[i];
    int64_t there = present(i) ? 1 : 0;
    visitor.visit("gradient/" + entry.meta.name + "/present", there);
    visitor.visit("gradient/" + entry.meta.name, entry.gradient);
    // What is not there yet may still be reached by the next pass of the same update.
    entry.presence = there != 0 ? Presence::yes : Presence::by_version;
    if (there == 0) entry.version_at_clear = entry.gradient.storage()->version();
  }
}

}  // namespace sing::optim
