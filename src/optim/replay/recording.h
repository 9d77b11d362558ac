#pragma once
#include <map>
#include <string>
#include <vector>

#include "sing/tensor/safetensors_reader.h"

namespace sing::optim {

/// A file of param/<name> and grad/<step>/<name>, sorted out and checked; values stay on disk.
class Recording {
 public:
  /// Throws DataError: what SafetensorsReader throws, and E0324 listing what does not fit.
  Recording(const std::string& path, FileSystem& files, const SafetensorsLimits& limits);

  DType dtype() const { return dtype_; }
  int64_t steps() const { return steps_; }  ///< the largest one with a gradient
  /// By name. Throws DataError E0324 for values that are not finite.
  std::vector<NamedTensor> parameters() const;
  /// Undefined when there is none.
  Tensor gradient(int64_t step, const std::string& name) const;

 private:
  void sort_out(std::vector<std::string>& problems);
  void compare(std::vector<std::string>& problems);

  SafetensorsReader reader_;
  DType dtype_ = DType::f32;
  int64_t steps_ = 0;
  std::map<std::string, const SafetensorsEntry*> parameters_;
  std::map<int64_t, std::map<std::string, const SafetensorsEntry*>> gradients_;
};

}  // namespace sing::optim
