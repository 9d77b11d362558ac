#pragma once
// Work that was queued and is not done yet, for the runtime API of the emulator.
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/emulator/emulator.h"

namespace sing::emulator {

/// A piece of queued work, or waiting for another stream, with what it uses of pinned memory.
struct Work {
  std::function<void()> run;
  const char* op = nullptr;  // it was queued for
  cudaStream_t awaits = nullptr;
  uint64_t place = 0;           // in the stream it awaits
  std::vector<PinnedUse> uses;  // until the host has waited for it
};

}  // namespace sing::emulator

struct EmulatedGraph {
  std::vector<sing::emulator::Work> nodes;
  std::vector<cudaStream_t> streams;  // that are capturing into it, the first one began
  bool relaxed = false, broken = false;
};

/// Places count what was queued: `done` of `queued` pieces have run, and of `seen` the host knows,
/// because it waited.
struct EmulatedStream {
  struct Wait {
    uint64_t at;
    cudaStream_t stream;
    uint64_t place;
  };
  struct Use {
    uint64_t at;
    sing::emulator::PinnedUse pinned;
  };
  int device = 0;
  EmulatedGraph* capturing = nullptr;
  std::deque<sing::emulator::Work> queue;
  uint64_t queued = 0, done = 0, seen = 0;
  std::deque<Wait> waits;  // behind `seen`
  std::deque<Use> uses;
};

namespace sing::emulator {

/// Of all that is below; held by every call of the runtime API.
std::recursive_mutex& runtime_mutex();
/// The stream itself; the null one stands for the legacy stream.
cudaStream_t stream_of(cudaStream_t stream);
cudaStream_t new_stream(int device);

/// Queues `work`. When it runs is the emulator's choice: at once, a while later, or when someone
/// waits for it (SING_EMULATOR_STREAMS, README.md).
void enqueue(cudaStream_t stream, Work work);
/// Perhaps something that is queued runs.
void progress();
/// The device reaches `place` of the stream.
void run_until(cudaStream_t stream, uint64_t place);
/// The host has waited for `place`, and so for what that waited for.
void observe(cudaStream_t stream, uint64_t place);
/// The host has waited for all streams.
void observe_everything();

}  // namespace sing::emulator
