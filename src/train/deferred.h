#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "sing/backend/runtime.h"
#include "sing/nn/model.h"
#include "sing/train/trainer.h"

namespace sing::train {

/// A window whose update is queued on the device, and what is needed if it turns out bad.
struct Trainer::Window {
  Counters start;
  std::vector<Tensor> buffers;                ///< of the model, at its start
  std::vector<std::vector<int64_t>> samples;  ///< of its micro-batches
};

/// Copies of a model's buffers from several windows, each taken by one launch.
class BufferCopies {
 public:
  BufferCopies(const nn::Model& model, Device device, int64_t windows);
  /// Copies the buffers as they are when stream 0 comes to it; the result is good until `windows`
  /// more were taken.
  std::vector<Tensor> take();

 private:
  Device device_;
  size_t next_ = 0;
  std::vector<std::vector<Tensor>> copies_;
  std::vector<Tensor> items_;  // of kernels::CopyItem, on the device
};

/// What a trainer keeps for a device that it does not wait for. Updates are queued; the host looks
/// at what became of them every few steps, and before anything that wants to know.
struct Trainer::Deferred {
  /// Updates after which the host looks in any case. Their norms enter the running medians, so that
  /// those follow from the number of the step and not from who asked when.
  static constexpr int64_t kWindows = 8;
  /// Windows of the usual size that are queued op by op before one is captured: they fill caches
  /// and make the plans of libraries.
  static constexpr int64_t kEagerWindows = 3;

  Deferred(Device device, const nn::Model& model, bool graph);
  ~Deferred();
  /// Whether an update launches what the last one did. Another one is queued op by op first:
  /// kernels are loaded by their first launch, and a capture is no place for that.
  bool is_known(uint64_t update);

  Device device;
  backend::DeviceRuntime& runtime;
  BufferCopies copies;
  std::vector<Window> queue;
  Window open;              ///< the one being filled
  Tensor loss;              ///< weighted sum of the open window, f32
  Tensor epoch;             ///< of random numbers in replays, i64
  float* losses = nullptr;  ///< by place in the queue; pinned

  bool graph;                                               ///< wanted and not refused
  std::array<std::unique_ptr<backend::Replay>, 2> replays;  ///< [1]: with the update
  uint64_t signature = 0;                                   ///< of the last update
  int64_t eager_windows = 0;
};

}  // namespace sing::train
