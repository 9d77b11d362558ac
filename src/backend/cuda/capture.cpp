// Marks in streams, and captured work as CUDA graphs.
#include <utility>

#include "backend/cuda/runtime.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::cuda {
namespace {

class EventMark final : public backend::StreamMark {
 public:
  explicit EventMark(bool timed) {
    check(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "making an event");
  }
  ~EventMark() override { cudaEventDestroy(event_); }
  EventMark(const EventMark&) = delete;
  EventMark& operator=(const EventMark&) = delete;

  void record(Stream stream) override { check(cudaEventRecord(event_, native(stream)), "a mark"); }
  void hold(Stream stream) override {
    check(cudaStreamWaitEvent(native(stream), event_, 0), "waiting for a mark");
  }
  void wait() override {
    check(cudaEventSynchronize(event_), "work queued before");
    runtime().check_fault();
  }
  double seconds_since(const backend::StreamMark& earlier) const override {
    float milliseconds = 0;
    check(
        cudaEventElapsedTime(&milliseconds, static_cast<const EventMark&>(earlier).event_, event_),
        "timing");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class GraphReplay final : public backend::Replay {
 public:
  GraphReplay(cudaGraphExec_t graph, int64_t nodes, int pool)
      : graph_(graph), nodes_(nodes), pool_(pool) {}
  ~GraphReplay() override {
    cudaStreamSynchronize(runtime().compute_stream());  // it may be running
    cudaGraphExecDestroy(graph_);
    runtime().allocator().dissolve_pool(pool_);
  }
  GraphReplay(const GraphReplay&) = delete;
  GraphReplay& operator=(const GraphReplay&) = delete;

  void launch() override {
    check(cudaGraphLaunch(graph_, runtime().compute_stream()), "a graph launch");
  }
  int64_t nodes() const override { return nodes_; }

 private:
  cudaGraphExec_t graph_;
  int64_t nodes_;
  int pool_;
};

/// The stream captures while it lives; blocks of memory belong to the pool of the graph.
class Capturing {
 public:
  Capturing(Runtime& runtime, int pool, const uint64_t* random_epoch) : runtime_(runtime) {
    // Relaxed: the host may take memory from the driver meanwhile, as it does for every tensor of
    // a size that the pool has not held yet.
    check(cudaStreamBeginCapture(runtime_.compute_stream(), cudaStreamCaptureModeRelaxed),
          "beginning to capture");
    runtime_.allocator().use_pool(pool);
    runtime_.set_replay_epoch(random_epoch);
  }
  ~Capturing() {
    runtime_.allocator().use_pool(0);
    runtime_.set_replay_epoch(nullptr);
    if (ended_) return;
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(runtime_.compute_stream(), &graph) == cudaSuccess && graph)
      cudaGraphDestroy(graph);
    cudaGetLastError();
  }
  Capturing(const Capturing&) = delete;
  Capturing& operator=(const Capturing&) = delete;

  cudaGraph_t end() {
    ended_ = true;
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(runtime_.compute_stream(), &graph), "capturing");
    return graph;
  }

 private:
  Runtime& runtime_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<backend::StreamMark> Runtime::mark(bool timed) {
  return std::make_unique<EventMark>(timed);
}

std::unique_ptr<backend::Replay> Runtime::capture(const std::function<void()>& work,
                                                  const uint64_t* random_epoch) {
  const int pool = ++last_pool_;
  // The graph takes blocks of its own, which would come on top of those of the steps before.
  check(cudaStreamSynchronize(compute_stream()), "work queued before");
  allocator_.trim();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  try {
    {
      Capturing capturing(*this, pool, random_epoch);
      work();
      graph = capturing.end();
    }
    size_t nodes = 0;
    check(cudaGraphGetNodes(graph, nullptr, &nodes), "counting the nodes of a graph");
    check(cudaGraphInstantiate(&executable, graph, 0), "instantiating a graph");
    cudaGraphDestroy(std::exchange(graph, nullptr));
    return std::make_unique<GraphReplay>(executable, static_cast<int64_t>(nodes), pool);
  } catch (...) {
    if (graph) cudaGraphDestroy(graph);
    allocator_.dissolve_pool(pool);
    throw;
  }
}

}  // namespace sing::cuda
