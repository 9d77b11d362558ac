#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/core/file_system.h"
#include "sing/core/function_ref.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// An optimizer over gradients from elsewhere: parameters by name, without any model.
class SING_API Replay {
 public:
  /// `initial`: values of the parameters, all f32 or all f64, copied. `total_steps`: length of the
  /// schedule. Throws ConfigError for settings that do not fit together; E0222 and E0223 for a
  /// schedule that needs epochs or is longer than that.
  Replay(const OptimizerConfig& config, const std::vector<NamedTensor>& initial,
         int64_t total_steps);
  ~Replay();

  /// The next update. `gradient_of` is asked for each trained parameter; an undefined tensor means
  /// that it has no gradient. The schedule goes on when none has. Throws DivergedError E0501 naming
  /// tensor and step when a gradient holds NaN or Inf; nothing is changed then.
  void step(FunctionRef<Tensor(const std::string& name)> gradient_of);
  int64_t steps() const { return steps_; }  ///< made so far
  /// The values, in the order given, frozen ones too; each step overwrites them.
  std::vector<NamedTensor> parameters() const;
  /// The optimizer's state: "<parameter>/<slot>", and "<stage>/<counter>" where all parameters
  /// share a number. In the dtype of the parameters, numbers as tensors of rank 0. Names and shapes
  /// are the same before and after every step.
  std::vector<NamedTensor> state();

 private:
  std::vector<std::unique_ptr<nn::Parameter>> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  int64_t steps_ = 0;
};

struct ReplayRequest {
  std::string input;   ///< safetensors with param/<name> and grad/<step>/<name>, step from 1
  std::string output;  ///< gets param/<step>/<name>, and state/<step>/<name>/<slot>
  std::vector<int64_t> steps;          ///< to write; empty: all
  std::optional<int64_t> total_steps;  ///< of the schedule; not set: the steps recorded
  bool state = false;
  std::function<bool()> interrupted;  ///< asked before each step; true: nothing is written
};

struct ReplayReport {
  DType dtype = DType::f32;  ///< of the file: what was computed and written in
  int64_t parameters = 0;
  int64_t recorded = 0;   ///< the largest step with a gradient
  int64_t made = 0;       ///< up to the last one asked for
  int64_t written = 0;    ///< tensors of the output
  bool complete = false;  ///< false: interrupted
};

/// Drives an optimizer over recorded gradients, from file to file. Holds one gradient at a time;
/// the output is written as it comes to be and appears whole or not at all. Throws what Replay and
/// SafetensorsReader throw, DataError E0324 listing what does not fit in the input, ConfigError
/// E0272 for steps that are not there, CheckpointError E0401 when the output cannot be written.
SING_API ReplayReport replay_file(const OptimizerConfig& config, const ReplayRequest& request,
                                  FileSystem& files = posix_file_system());

}  // namespace sing::optim
