// The runtime API: streams that run their work at once, events, and graphs as lists of work.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/emulator/emulator.h"

using Clock = std::chrono::steady_clock;

struct EmulatedGraph {
  std::vector<std::function<void()>> nodes;
  std::vector<cudaStream_t> streams;  // that are capturing into it, the first one began
  bool relaxed = false, broken = false;
};
struct EmulatedStream {
  EmulatedGraph* capturing = nullptr;
};
struct EmulatedEvent {
  Clock::time_point time;
  EmulatedGraph* captured_in = nullptr;
};

namespace sing::emulator {
namespace {

std::recursive_mutex g_mutex;
std::vector<EmulatedGraph*> g_captures;
std::map<const void*, int> g_dynamic_shared;  // what a kernel has asked for, beyond 48 KiB

/// Runs `work` now, or makes it a node of the graph that the stream is capturing.
cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
  const std::lock_guard lock(g_mutex);
  if (stream && stream->capturing) {
    stream->capturing->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  const DeviceAccess access;
  work();
  return cudaSuccess;
}

/// What waits for the device or changes its memory breaks every capture that is not relaxed.
bool breaks_capture() {
  const std::lock_guard lock(g_mutex);
  bool any = false;
  for (EmulatedGraph* graph : g_captures)
    if (!graph->relaxed) any = graph->broken = true;
  return any;
}
/// Waiting for a stream that is capturing breaks it in every mode.
cudaError_t waits_for(cudaStream_t stream) {
  if (!stream || !stream->capturing) return cudaSuccess;
  stream->capturing->broken = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace

bool memory_is_frozen() {
  return breaks_capture();
}

void launch(const void* kernel, dim3 blocks, dim3 threads, size_t shared, cudaStream_t stream,
            std::function<void()> body) {
  {
    const std::lock_guard lock(g_mutex);
    const auto asked = g_dynamic_shared.find(kernel);
    if (shared >
        (asked == g_dynamic_shared.end() ? size_t{48} << 10 : static_cast<size_t>(asked->second)))
      fail("more dynamic shared memory than cudaFuncSetAttribute allowed this kernel");
  }
  submit(stream, [blocks, threads, shared, body = std::move(body)] {
    run_kernel(blocks, threads, shared, body);
  });
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > (227 << 10))
    return cudaErrorInvalidValue;
  const std::lock_guard lock(g_mutex);
  g_dynamic_shared[kernel] = std::max(value, 48 << 10);
  return cudaSuccess;
}

}  // namespace sing::emulator

using namespace sing::emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = std::getenv("SING_EMULATOR_NO_DRIVER") ? 0 : 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (std::getenv("SING_EMULATOR_NO_DEVICE")) return cudaErrorNoDevice;
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated device", 9, 0, 2, 32, 1 << 20, device_memory(), size_t{227} << 10};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return submit(stream, [=] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return waits_for(stream);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return waits_for(stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(g_mutex);
  // Waiting for captured work makes a stream's own work part of the same graph.
  if (stream && event->captured_in && !stream->capturing) {
    stream->capturing = event->captured_in;
    stream->capturing->streams.push_back(stream);
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return breaks_capture() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent{Clock::now()};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->captured_in = stream ? stream->capturing : nullptr;
  return submit(stream, [event] { event->time = Clock::now(); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event->captured_in) return cudaSuccess;
  event->captured_in->broken = true;
  return cudaErrorStreamCaptureUnsupported;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  *milliseconds = std::chrono::duration<float, std::milli>(stop->time - start->time).count();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
cudaError_t cudaPeekAtLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(g_mutex);
  if (!stream || stream->capturing) return cudaErrorInvalidValue;
  if (std::getenv("SING_EMULATOR_NO_CAPTURE")) return cudaErrorStreamCaptureUnsupported;
  stream->capturing = new EmulatedGraph;
  stream->capturing->relaxed = mode == cudaStreamCaptureModeRelaxed;
  stream->capturing->streams.push_back(stream);
  g_captures.push_back(stream->capturing);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(g_mutex);
  *graph = nullptr;
  if (!stream->capturing || stream->capturing->streams.front() != stream)
    return cudaErrorInvalidValue;
  EmulatedGraph* captured = stream->capturing;
  std::erase(g_captures, captured);
  for (const cudaStream_t each : captured->streams) each->capturing = nullptr;
  captured->streams.clear();
  if (captured->broken) {
    delete captured;
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = captured;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status =
      stream && stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return submit(stream, [exec] {
    for (const auto& node : exec->nodes) node();
  });
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void*, size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
