#pragma once
// The files of tests/golden/optim: trajectories of the problem of optim_problem.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "sing/tensor/safetensors.h"
#include "support/optim_problem.h"

namespace sing::testing {

inline std::filesystem::path optim_golden_folder() {
  return std::filesystem::path(SING_SOURCE_DIR) / "tests" / "golden" / "optim";
}

/// One `optimizer:` block and its parameters after some of 100 steps.
struct OptimGolden {
  std::string file, name, yaml;
  config::Value tree;                         ///< of yaml
  std::vector<int> steps;                     ///< kept ones
  std::vector<std::vector<double>> values;    ///< by kept step, all tensors one behind the other
  std::vector<std::vector<double>> averages;  ///< the same of averaged weights; may be empty
  double bound32 = 0, bound64 = 0;            ///< own bounds on the error; 0: the usual ones

  std::string full_name() const { return file + "." + name; }
  std::string host() const { return name_of(tree.find("host")); }
  std::vector<std::string> transforms() const {
    std::vector<std::string> names;
    if (const config::Value* list = tree.find("transforms"))
      for (const config::Value& item : list->items) names.push_back(name_of(&item));
    return names;
  }

  static std::string name_of(const config::Value* component) {
    if (component == nullptr) return "";
    return component->is_map() ? component->find("name")->text : component->text;
  }
};

inline std::vector<std::vector<double>> rows_of(const Tensor& tensor) {
  const std::vector<double> all = tensor.to_vector();
  const auto length = static_cast<ptrdiff_t>(tensor.shape()[1]);
  std::vector<std::vector<double>> rows;
  for (auto it = all.begin(); it != all.end(); it += length) rows.emplace_back(it, it + length);
  return rows;
}

struct OptimGoldenFile {
  std::string path;
  std::map<std::string, std::string> metadata;
  std::vector<OptimGolden> cases;
};

inline OptimGoldenFile read_optim_golden(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path.string());
  OptimGoldenFile result{path.string(), {}, {}};
  for (const auto& [key, value] : file.metadata()) result.metadata[key] = value;
  std::vector<int> steps;
  std::istringstream kept(result.metadata.at("steps"));
  for (int step = 0; kept >> step;) steps.push_back(step);
  for (const auto& [key, yaml] : result.metadata) {
    if (!key.starts_with("case/")) continue;
    OptimGolden golden{path.stem().string(), key.substr(5), yaml, {}, steps, {}, {}};
    config::Problems problems;
    golden.tree = config::read_yaml(yaml, golden.full_name(), problems).value();
    golden.values = rows_of(file.tensor(*file.find(golden.name)));
    if (const auto* averages = file.find(golden.name + "/average"))
      golden.averages = rows_of(file.tensor(*averages));
    const auto own = [&](const std::string& kind) {
      const auto it = result.metadata.find(kind + "/" + golden.name);
      return it == result.metadata.end() ? 0 : std::stod(it->second);
    };
    golden.bound32 = own("bound32");
    golden.bound64 = own("bound64");
    result.cases.push_back(std::move(golden));
  }
  return result;
}

/// Every file of the folder, by name.
inline const std::vector<OptimGoldenFile>& optim_golden_files() {
  static const std::vector<OptimGoldenFile> files = [] {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(optim_golden_folder()))
      if (entry.path().extension() == ".safetensors") paths.push_back(entry.path());
    std::ranges::sort(paths);
    std::vector<OptimGoldenFile> all;
    for (const auto& path : paths) all.push_back(read_optim_golden(path));
    return all;
  }();
  return files;
}

/// Largest difference over the tensors, relative to the largest element of each.
inline double worst_difference(const ParameterList& parameters, const std::vector<double>& want) {
  double worst = 0;
  size_t at = 0;
  for (const std::vector<double>& got : parameters.values()) {
    double difference = 0, size = 0;
    for (const double value : got) {
      const double d = std::abs(value - want.at(at));
      difference = std::isnan(d) ? HUGE_VAL : std::max(difference, d);
      size = std::max(size, std::abs(want[at++]));
    }
    worst = std::max(worst, difference / size);
  }
  EXPECT_EQ(at, want.size());
  return worst;
}

}  // namespace sing::testing
