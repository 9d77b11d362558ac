#include "sing/nn/summary.h"

#include <algorithm>
#include <map>
#include <vector>

#include "sing/nn/freeze.h"

namespace sing::nn {
namespace {

struct Row {
  std::string name, shape, elements, tags;
};

// "blocks.11.attn.qkv.weight" -> "blocks.*.attn.qkv.weight"; a name without a number stays.
std::string folded(const std::string& name) {
  std::string result;
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (begin > 0) result += '.';
    result += number ? "*" : part;
    begin = end + 1;
  }
  return result;
}

std::string count_text(int64_t n, int64_t repeats) {
  return repeats == 1 ? with_commas(n) : std::to_string(repeats) + " x " + with_commas(n);
}

// Neighbours in the order of first appearance that differ in numbers only, and in nothing else.
std::vector<Row> rows(const Module& module, bool fold) {
  struct Group {
    std::string name;
    Module::Description first;
    int64_t repeats;
  };
  std::vector<Group> groups;
  std::map<std::string, size_t> known;
  for (const Module::Description& d : module.describe()) {
    const std::string key =
        folded(d.name) + to_string(d.shape) + tags_text(d.tags) + (d.trainable ? "" : "!");
    const auto it = known.find(key);
    if (fold && it != known.end()) {
      Group& group = groups[it->second];
      group.name = folded(d.name);
      ++group.repeats;
    } else {
      known.emplace(key, groups.size());
      groups.push_back({d.name, d, 1});
    }
  }
  std::vector<Row> result;
  for (const Group& g : groups)
    result.push_back({g.name, to_string(g.first.shape),
                      count_text(g.first.shape.numel(), g.repeats),
                      tags_text(g.first.tags) + (g.first.trainable ? "" : ", frozen")});
  return result;
}

std::string padded(const std::string& text, size_t width, bool right) {
  const std::string space(width - std::min(width, text.size()), ' ');
  return right ? space + text : text + space;
}

}  // namespace

ModelSize model_size(const Module& module) {
  ModelSize size;
  for (const Module::Description& d : module.describe()) {
    const int64_t n = d.shape.numel();
    size.parameters += n;
    ++size.tensors;
    if (d.trainable) {
      size.trainable += n;
      ++size.trainable_tensors;
    }
    if (has_tag(d.tags, Tag::norm)) {
      size.norm_parameters += n;
      ++size.norm_tensors;
    }
  }
  return size;
}

std::string with_commas(int64_t n) {
  std::string digits = std::to_string(n);
  const size_t first = n < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string summary_text(const Model& model, bool fold) {
  std::vector<Row> table{{"parameter", "shape", "elements", "tags"}};
  for (Row& row : rows(model, fold)) table.push_back(std::move(row));
  size_t name = 0, shape = 0, elements = 0;
  for (const Row& row : table) {
    name = std::max(name, row.name.size());
    shape = std::max(shape, row.shape.size());
    elements = std::max(elements, row.elements.size());
  }
  std::string text;
  for (const Row& row : table)
    text += padded(row.name, name, false) + "  " + padded(row.shape, shape, false) + "  " +
            padded(row.elements, elements, true) + "  " + row.tags + "\n";
  const ModelSize size = model_size(model);
  text += "\nparameters " + with_commas(size.parameters) + " in " + with_commas(size.tensors) +
          " tensors, trained " + with_commas(size.trainable) + " in " +
          with_commas(size.trainable_tensors) + "\n";
  text += "multiply-adds per sample, forward: " + with_commas(model.forward_macs()) + "\n";
  return text;
}

}  // namespace sing::nn
