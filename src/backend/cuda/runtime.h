#pragma once
#include <cuda_runtime.h>

#include <mutex>
#include <string>
#include <vector>

#include "backend/cuda/allocator.h"
#include "kernels/cuda/backend.h"
#include "sing/backend/runtime.h"

namespace sing::cuda {

/// One GPU of this process: its memory, a stream to compute on (0) and one for copies beside it
/// (1). The device is chosen by the first `select`; one process uses one GPU. CUDA keeps a current
/// device for each thread: backend::runtime() calls `select` once on each.
class Runtime final : public backend::DeviceRuntime {
 public:
  void select(int index) override;
  void* allocate(size_t bytes, Stream stream) override;
  void release(void* memory, size_t bytes, Stream stream) noexcept override;
  void copy(void* to, const void* from, size_t bytes, backend::CopyKind kind,
            Stream stream) override;
  void fill_zero(void* to, size_t bytes, Stream stream) override;
  Stream stream(int index) override;
  void synchronize(Stream stream) override;
  backend::MemoryStatistics memory() const override;
  void reset_peak() override;
  std::string description() const override;
  size_t granted(size_t bytes) const override;
  void* allocate_host(size_t bytes) override;
  void release_host(void* memory) noexcept override;
  std::unique_ptr<backend::StreamMark> mark(bool timed) override;
  bool can_capture() const override { return !waits_; }
  std::unique_ptr<backend::Replay> capture(const std::function<void()>& work,
                                           const uint64_t* random_epoch) override;
  void allow_any_order(bool allowed) override;
  int64_t capacity() const override { return static_cast<int64_t>(properties_.totalGlobalMem); }

  cudaStream_t compute_stream() const { return streams_[0]; }
  Fault* fault() const { return fault_; }
  int multiprocessors() const { return properties_.multiProcessorCount; }
  const cudaDeviceProp& properties() const { return properties_; }
  int index() const { return index_; }
  Allocator& allocator() { return allocator_; }
  bool waits_after_launches() const { return waits_; }
  /// While a step is being captured: where its replays read the epoch of random keys, in device
  /// memory. nullptr otherwise: the epoch is the number in the key.
  const uint64_t* replay_epoch() const { return replay_epoch_; }
  void set_replay_epoch(const uint64_t* epoch) { replay_epoch_ = epoch; }
  /// Throws the DataError of what a kernel found, once.
  void check_fault();

 private:
  static constexpr int kStreams = 2;
  std::mutex selecting_;
  int index_ = -1;
  cudaDeviceProp properties_{};
  cudaStream_t streams_[kStreams] = {};
  Allocator allocator_;
  Fault* fault_ = nullptr;
  bool waits_ = false;
  const uint64_t* replay_epoch_ = nullptr;
  int last_pool_ = 0;  // of the allocator, for the graph captured last
};

Runtime& runtime();

/// A sentence that says why no device can be used, or nullptr.
const char* probe() noexcept;
/// A sentence that says why the kernels do not run on such a device; empty when they do.
std::string architecture_obstacle(const cudaDeviceProp& properties);

}  // namespace sing::cuda
