// Queues of work. A device does what was queued some time between the call and the moment someone
// waits for it, and streams in any order that events allow; so does this.
#include "cuda/emulator/streams.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "sing/backend/memory.h"

namespace sing::emulator {
namespace {

constexpr size_t kLongest = 1024;  // of a queue; a driver makes its caller wait there, too

const char* g_op = nullptr;  // of the work at hand
uint64_t g_draws = 0;

std::vector<cudaStream_t>& streams() {
  static auto* all = new std::vector<cudaStream_t>;  // never destroyed: work may be left at exit
  return *all;
}

/// Memory that was given back while `places` of the streams had yet to be reached.
struct Free {
  std::vector<uint64_t> places;
  std::function<void()> free;
};
std::deque<Free>& frees() {
  static auto* all = new std::deque<Free>;
  return *all;
}
void free_what_is_done() {
  const auto reached = [](const Free& wanted) {
    for (size_t i = 0; i < wanted.places.size(); ++i)
      if (streams()[i]->done < wanted.places[i]) return false;
    return true;
  };
  while (!frees().empty() && reached(frees().front())) {
    frees().front().free();
    frees().pop_front();
  }
}

enum class Pace { at_once, drawn, late };
Pace pace() {
  const char* text = std::getenv("SING_EMULATOR_STREAMS");
  if (text != nullptr && std::strcmp(text, "late") == 0) return Pace::late;
  if (text != nullptr && std::strcmp(text, "now") == 0) return Pace::at_once;
  return seed() == 0 ? Pace::at_once : Pace::drawn;
}

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

cudaStream_t new_stream(int device) {
  auto* stream = new EmulatedStream;
  stream->device = device;
  streams().push_back(stream);
  return stream;
}

cudaStream_t stream_of(cudaStream_t stream) {
  static cudaStream_t legacy = new_stream(0);
  return stream ? stream : legacy;
}

const char* op_of_work() {
  return g_op ? g_op : backend::current_op();
}

void run_until(cudaStream_t stream, uint64_t place) {
  while (stream->done < place) {
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (work.awaits) run_until(work.awaits, work.place);
    if (work.run) {
      const char* const before = std::exchange(g_op, work.op);
      const PinnedAccess pinned(work.uses);
      const DeviceAccess access;
      work.run();
      g_op = before;
    }
    ++stream->done;
  }
}

void observe(cudaStream_t stream, uint64_t place) {
  free_what_is_done();
  if (stream->seen >= place) return;
  stream->seen = place;
  while (!stream->uses.empty() && stream->uses.front().at <= place) {
    end_use(stream->uses.front().pinned);
    stream->uses.pop_front();
  }
  while (!stream->waits.empty() && stream->waits.front().at <= place) {
    const EmulatedStream::Wait wait = stream->waits.front();
    stream->waits.pop_front();
    observe(wait.stream, wait.place);
  }
}

void observe_everything() {
  for (const cudaStream_t stream : streams()) run_until(stream, stream->queued);
  for (const cudaStream_t stream : streams()) observe(stream, stream->queued);
  free_what_is_done();
}

void when_done(std::function<void()> free) {
  const std::lock_guard lock(runtime_mutex());
  Free wanted{{}, std::move(free)};
  for (const cudaStream_t stream : streams()) wanted.places.push_back(stream->queued);
  frees().push_back(std::move(wanted));
  free_what_is_done();
}

void progress() {
  if (pace() != Pace::drawn) return;
  const uint64_t draw = mix(mix(seed()) ^ ++g_draws);
  if (draw % 2 != 0) return;
  std::vector<cudaStream_t> waiting;
  for (const cudaStream_t stream : streams())
    if (stream->done < stream->queued) waiting.push_back(stream);
  if (waiting.empty()) return;
  const cudaStream_t stream = waiting[(draw >> 8) % waiting.size()];
  run_until(stream, std::min(stream->queued, stream->done + 1 + (draw >> 32) % 8));
}

void enqueue(cudaStream_t stream, Work work) {
  work.op = backend::current_op();
  ++stream->queued;
  if (work.awaits) stream->waits.push_back({stream->queued, work.awaits, work.place});
  for (const PinnedUse& use : work.uses) {
    begin_use(use);
    stream->uses.push_back({stream->queued, use});
  }
  stream->queue.push_back(std::move(work));
  if (pace() == Pace::at_once) run_until(stream, stream->queued);
  if (stream->queue.size() > kLongest) run_until(stream, stream->done + kLongest / 2);
  progress();
  free_what_is_done();
}

}  // namespace sing::emulator
