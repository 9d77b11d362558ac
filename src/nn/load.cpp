#include "sing/nn/load.h"

#include <algorithm>

#include "sing/core/error.h"

namespace sing::nn {
namespace {

bool may_be_absent(std::string_view name) {
  return name.ends_with("num_batches_tracked");
}

void append(std::string& text, const char* title, const std::vector<std::string>& names,
            size_t limit) {
  if (names.empty()) return;
  if (!text.empty()) text += "\n";
  text += std::string(title) + " (" + std::to_string(names.size()) + "): ";
  for (size_t i = 0; i < std::min(limit, names.size()); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > limit) text += ", and " + std::to_string(names.size() - limit) + " more";
}

}  // namespace

std::string LoadReport::text(size_t limit) const {
  std::string result;
  append(result, "missing", missing, limit);
  append(result, "unexpected", unexpected, limit);
  std::vector<std::string> lines;
  for (const Misshapen& m : misshapen)
    lines.push_back(m.name + " wanted " + to_string(m.wanted) + ", got " + to_string(m.got));
  append(result, "misshapen", lines, limit);
  return result;
}

std::map<std::string, Tensor> named_tensors(const Module& module) {
  std::map<std::string, Tensor> result;
  for (const Parameter* p : module.parameters()) result.emplace(p->name, p->value);
  for (const NamedTensor& b : module.buffers()) result.emplace(b.name, b.tensor);
  return result;
}

LoadReport compare_parameters(const Module& module, const std::map<std::string, Tensor>& tensors) {
  LoadReport report;
  const std::map<std::string, Tensor> wanted = named_tensors(module);
  for (const auto& [name, target] : wanted) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) {
      if (!may_be_absent(name)) report.missing.push_back(name);
    } else if (it->second.shape() != target.shape()) {
      report.misshapen.push_back({name, target.shape(), it->second.shape()});
    } else {
      report.loaded.push_back(name);
    }
  }
  for (const auto& [name, tensor] : tensors)
    if (!wanted.contains(name)) report.unexpected.push_back(name);
  return report;
}

LoadReport load_parameters(Module& module, const std::map<std::string, Tensor>& tensors,
                           LoadMode mode) {
  LoadReport report = compare_parameters(module, tensors);
  if (mode == LoadMode::strict && !report.complete())
    throw CheckpointError("the tensors do not fit the model\n" + report.text(), {},
                          "check model.name and its options against those of the file", "E0410");
  std::map<std::string, Tensor> targets = named_tensors(module);
  for (const std::string& name : report.loaded) targets.at(name).copy_from(tensors.at(name));
  module.sync_working();
  return report;
}

}  // namespace sing::nn
