#pragma once
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/cudnn/plan.h"

namespace sing::cuda::cudnn {

using PlanKey = std::vector<int64_t>;

/// Which engine was chosen for which graph, as a text that outlives the process. Engine numbers
/// and knobs mean something for one version of cuDNN on one kind of device only.
class Choices {
 public:
  Choices(int64_t cudnn_version, std::string device);
  const EngineChoice* find(const PlanKey& key) const;
  /// `name` is for people who read the file.
  void put(const PlanKey& key, std::string name, EngineChoice choice);
  /// Takes over what `text` holds; nothing when it was written for another version or device (then
  /// false). `where` names the text in errors: DataError for what is no such text.
  bool read(const std::string& text, const std::string& where);
  std::string to_json() const;
  /// From and to a file. A file that is missing, damaged or of another device, or that cannot be
  /// written, is no reason to stop: choices are made anew, and a line of the log says why. The
  /// result is whether it worked.
  bool load(const std::string& path);
  bool save(const std::string& path) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string name;
    EngineChoice choice;
  };
  int64_t version_;
  std::string device_;
  std::map<PlanKey, Entry> entries_;
};

}  // namespace sing::cuda::cudnn
