#pragma once
#include <map>
#include <string>
#include <vector>

#include "sing/core/export.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// How a set of named tensors fits a module: all names in one report, each list sorted.
struct SING_API LoadReport {
  struct Misshapen {
    std::string name;
    Shape wanted, got;
  };
  std::vector<std::string> loaded;
  std::vector<std::string> missing;     ///< wanted by the module, not among the tensors
  std::vector<std::string> unexpected;  ///< among the tensors, not wanted
  std::vector<Misshapen> misshapen;

  bool complete() const { return missing.empty() && unexpected.empty() && misshapen.empty(); }
  /// For people; at most `limit` names of each list, the others counted. "" when complete.
  std::string text(size_t limit = 8) const;
};

enum class LoadMode : uint8_t {
  strict,   ///< anything missing, unexpected or misshapen: CheckpointError E0410, nothing written
  partial,  ///< what fits is written; the report says what did not
};

/// The same report as load_parameters, writing nothing.
SING_API LoadReport compare_parameters(const Module& module,
                                       const std::map<std::string, Tensor>& tensors);

/// Copies tensors into the masters and buffers of the same name (any floating dtype; converted) and
/// rewrites working copies. An absent `num_batches_tracked` is never missed, since older files of
/// batch norm lack it. The module must be initialised.
SING_API LoadReport load_parameters(Module& module, const std::map<std::string, Tensor>& tensors,
                                    LoadMode mode = LoadMode::strict);

/// Masters and buffers by name; the handles share storage with the module.
SING_API std::map<std::string, Tensor> named_tensors(const Module& module);

}  // namespace sing::nn
