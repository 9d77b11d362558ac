#include "optim/replay/recording.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "sing/core/error.h"
#include "sing/core/utf8.h"

namespace sing::optim {
namespace {

constexpr int64_t kLargestStep = 100'000'000;  // every one of them is made, with gradients or not

/// Of the digits of "grad/12/name"; nothing for what is not written as a step is: 0, 012, 1e3.
std::optional<int64_t> step_number(std::string_view digits) {
  int64_t step = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (code != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  if (digits.front() == '0' || step < 1 || step > kLargestStep) return std::nullopt;
  return step;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

bool all_finite(const Tensor& tensor) {
  const auto finite = [&]<class T>(const T* values) {
    return std::all_of(values, values + tensor.numel(), [](T v) { return std::isfinite(v); });
  };
  return tensor.dtype() == DType::f64 ? finite(tensor.data<double>())
                                      : finite(tensor.data<float>());
}

}  // namespace

Recording::Recording(const std::string& path, FileSystem& files, const SafetensorsLimits& limits)
    : reader_(path, files, limits) {
  std::vector<std::string> problems;
  sort_out(problems);
  if (problems.empty()) compare(problems);
  if (problems.empty()) return;
  constexpr size_t kShown = 8;
  std::string text = problems.front();
  for (size_t i = 1; i < problems.size() && i < kShown; ++i) text += "\n  " + problems[i];
  if (problems.size() > kShown)
    text += "\n  and " + std::to_string(problems.size() - kShown) + " more";
  throw DataError(text, printable(path, 4096),
                  "a recording holds param/<name> and grad/<step>/<name>, step from 1, all F32 or "
                  "all F64",
                  "E0324");
}

void Recording::sort_out(std::vector<std::string>& problems) {
  constexpr std::string_view kParam = "param/", kGrad = "grad/";
  const SafetensorsEntry* first = nullptr;
  for (const SafetensorsEntry& entry : reader_.tensors()) {
    const std::string_view name = entry.name;
    if (first == nullptr) first = &entry;
    if (entry.dtype != DType::f32 && entry.dtype != DType::f64)
      problems.push_back("tensor '" + entry.name + "' is " + std::string(name_of(entry.dtype)) +
                         ": f32 and f64 are read");
    else if (entry.dtype != first->dtype)
      problems.push_back("tensor '" + entry.name + "' is " + std::string(name_of(entry.dtype)) +
                         ", '" + first->name + "' is " + std::string(name_of(first->dtype)) +
                         ": all must have one dtype");
    if (name.starts_with(kParam) && name.size() > kParam.size()) {
      parameters_.emplace(name.substr(kParam.size()), &entry);
      continue;
    }
    const size_t slash = name.starts_with(kGrad) ? name.find('/', kGrad.size()) : name.npos;
    const auto step = slash == name.npos || slash == kGrad.size()
                          ? std::nullopt
                          : step_number(name.substr(kGrad.size(), slash - kGrad.size()));
    if (step && slash + 1 < name.size()) {
      gradients_[*step].emplace(name.substr(slash + 1), &entry);
      steps_ = std::max(steps_, *step);
    } else {
      problems.push_back("tensor '" + entry.name + "' is no parameter and no gradient");
    }
  }
  if (first != nullptr) dtype_ = first->dtype;
  if (parameters_.empty()) problems.push_back("there is no parameter in the file");
  if (gradients_.empty()) problems.push_back("there is no gradient in the file");
}

void Recording::compare(std::vector<std::string>& problems) {
  for (const auto& [name, entry] : parameters_) {
    if (entry->shape.size() > static_cast<size_t>(kMaxRank))
      problems.push_back("tensor '" + entry->name + "' has " + std::to_string(entry->shape.size()) +
                         " dimensions; at most " + std::to_string(kMaxRank) + " are supported");
    else if (entry->begin == entry->end)
      problems.push_back("tensor '" + entry->name + "' has no elements");
  }
  for (const auto& [step, gradients] : gradients_)
    for (const auto& [name, entry] : gradients) {
      const auto parameter = parameters_.find(name);
      if (parameter == parameters_.end())
        problems.push_back("'" + entry->name + "' has no parameter 'param/" + name + "'");
      else if (parameter->second->shape != entry->shape)
        problems.push_back("'" + entry->name + "' has the shape " + shape_text(entry->shape) +
                           ", its parameter " + shape_text(parameter->second->shape));
    }
}

std::vector<NamedTensor> Recording::parameters() const {
  std::vector<NamedTensor> result;
  for (const auto& [name, entry] : parameters_) {
    Tensor value = reader_.read(*entry);
    if (!all_finite(value))
      throw DataError("tensor '" + entry->name + "' holds NaN or Inf",
                      printable(reader_.path(), 4096), {}, "E0324");
    result.push_back({name, std::move(value)});
  }
  return result;
}

Tensor Recording::gradient(int64_t step, const std::string& name) const {
  const auto gradients = gradients_.find(step);
  if (gradients == gradients_.end()) return {};
  const auto entry = gradients->second.find(name);
  return entry == gradients->second.end() ? Tensor() : reader_.read(*entry->second);
}

}  // namespace sing::optim
