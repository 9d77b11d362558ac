// The runtime API: devices, copies, launches, streams, events, errors, and graphs as lists of work.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"

using Clock = std::chrono::steady_clock;

struct EmulatedEvent {
  struct State {
    Clock::time_point time;
  };
  std::shared_ptr<State> state = std::make_shared<State>();
  int device = 0;
  EmulatedGraph* captured_in = nullptr;
  cudaStream_t stream = nullptr;  // it was recorded in last, and where
  uint64_t place = 0;
};

namespace sing::emulator {
namespace {

using Lock = std::lock_guard<std::recursive_mutex>;

std::vector<EmulatedGraph*> g_captures;
std::map<const void*, int> g_dynamic_shared;  // what a kernel has asked for, beyond 48 KiB
std::set<const void*> g_launched;             // kernels that are loaded
std::map<std::thread::id, int> g_device_of;   // chosen by a thread, else the first
cudaError_t g_dead = cudaSuccess;
int64_t g_kernels = 0;  // run so far

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

bool refuses_capture(const std::string& where) {
  const char* text = std::getenv("SING_EMULATOR_NO_CAPTURE");
  return text != nullptr && text == where;
}

/// Whether SING_EMULATOR_FAIL plants a failure of this kind for `kernel`.
bool planted(std::string_view kind, const void* kernel) {
  const char* text = std::getenv("SING_EMULATOR_FAIL");
  const char* name = nullptr;
  if (text == nullptr || !std::string_view(text).starts_with(kind)) return false;
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) return false;
  return std::string_view(name).find(text + kind.size()) != std::string_view::npos;
}

int current_device() {
  const auto it = g_device_of.find(std::this_thread::get_id());
  return it == g_device_of.end() ? 0 : it->second;
}

/// Queues `work`, or makes it a node of the graph that the stream is capturing.
cudaError_t submit(cudaStream_t handle, Work work) {
  const Lock lock(runtime_mutex());
  if (g_dead != cudaSuccess) return g_dead;
  const cudaStream_t stream = stream_of(handle);
  if (stream->capturing) {
    work.op = op_of_work();
    stream->capturing->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (dry()) return cudaSuccess;
  enqueue(stream, std::move(work));
  if (tracing()) observe_everything();  // while its line is being written
  return cudaSuccess;
}

/// What waits for the device or changes its memory breaks every capture that is not relaxed.
bool breaks_capture(bool relaxed_too) {
  const Lock lock(runtime_mutex());
  bool any = false;
  for (EmulatedGraph* graph : g_captures)
    if (relaxed_too || !graph->relaxed) any = graph->broken = true;
  return any;
}

/// The host waits until the device has come to `place`.
cudaError_t wait_for(cudaStream_t stream, uint64_t place) {
  run_until(stream, place);
  observe(stream, place);
  return g_dead;
}

/// A kernel runs, unless it is the one that was chosen to fail: nothing does from then on.
void run_or_fail(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body) {
  const int chosen = number("SING_EMULATOR_FAIL_AT", 0);
  if (g_dead == cudaSuccess && chosen > 0 && ++g_kernels == chosen)
    g_dead = cudaErrorIllegalAddress;
  if (g_dead == cudaSuccess) run_kernel(blocks, threads, shared, body);
}

/// What __launch_bounds__ has left in front of a kernel; 0: nothing.
unsigned most_threads(const void* kernel) {
  const auto* code = static_cast<const unsigned char*>(kernel);
  constexpr unsigned char kBranchTarget[] = {0xf3, 0x0f, 0x1e, 0xfa};
  if (std::memcmp(code, kBranchTarget, sizeof kBranchTarget) == 0) code += sizeof kBranchTarget;
  unsigned warps = 0;
  while (warps < 32 && code[warps] == 0x90) ++warps;
  return warps * 32;
}

}  // namespace

bool memory_is_frozen() {
  return breaks_capture(false);
}

cudaError_t dead() {
  const Lock lock(runtime_mutex());
  return g_dead;
}

cudaError_t launch(const void* kernel, dim3 blocks, dim3 threads, size_t shared,
                   cudaStream_t stream, std::function<void()> body) {
  const Lock lock(runtime_mutex());
  if (planted("refuse:", kernel)) return cudaErrorInvalidConfiguration;
  if (planted("break:", kernel))
    return submit(stream, {.run = [] { g_dead = cudaErrorIllegalAddress; }});
  const auto asked = g_dynamic_shared.find(kernel);
  if (shared >
      (asked == g_dynamic_shared.end() ? size_t{48} << 10 : static_cast<size_t>(asked->second)))
    fail("more dynamic shared memory than cudaFuncSetAttribute allowed this kernel");
  const unsigned most = most_threads(kernel);
  if (most != 0 && threads.x * threads.y * threads.z > most)
    fail("more threads than the __launch_bounds__ of this kernel");
  const Traced line(kernel, nullptr, blocks, threads, shared);
  const bool foreign = stream && stream->device != current_device();
  const bool fresh = g_launched.insert(kernel).second;
  if (fresh && stream && stream->capturing && std::getenv("SING_EMULATOR_LAZY"))
    stream->capturing->broken = true;
  if (foreign) return cudaErrorInvalidResourceHandle;
  return submit(stream, {.run = [blocks, threads, shared, body = std::move(body)] {
                  run_or_fail(blocks, threads, shared, body);
                }});
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > (227 << 10))
    return cudaErrorInvalidValue;
  const Lock lock(runtime_mutex());
  g_dynamic_shared[kernel] = std::max(value, 48 << 10);
  return cudaSuccess;
}

}  // namespace sing::emulator

using namespace sing::emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = std::getenv("SING_EMULATOR_NO_DRIVER") ? 0 : number("SING_EMULATOR_DRIVER", 13000);
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (std::getenv("SING_EMULATOR_NO_DEVICE")) return cudaErrorNoDevice;
  *count = number("SING_EMULATOR_DEVICES", 1);
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  const Lock lock(runtime_mutex());
  if (device < 0 || device >= number("SING_EMULATOR_DEVICES", 1)) return cudaErrorInvalidDevice;
  g_device_of[std::this_thread::get_id()] = device;
  return g_dead;
}
cudaError_t cudaGetDevice(int* device) {
  const Lock lock(runtime_mutex());
  *device = current_device();
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const int capability = number("SING_EMULATOR_CAPABILITY", 90);
  *properties = {"emulated device", capability / 10, capability % 10,  2, 32,
                 1 << 20,           device_memory(), size_t{227} << 10};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  const bool to_host = !is_device_memory(to), from_host = !is_device_memory(from);
  if (kind != cudaMemcpyDefault &&
      kind != (from_host ? to_host ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice
               : to_host ? cudaMemcpyDeviceToHost
                         : cudaMemcpyDeviceToDevice))
    return cudaErrorInvalidMemcpyDirection;
  Work work{.run = [=] { std::memcpy(to, from, bytes); }};
  bool pageable = false;
  const auto host_side = [&](const void* address, bool written) {
    if (const auto use = pinned_use(address, written))
      work.uses.push_back(*use);
    else
      pageable = true;
  };
  if (to_host) host_side(to, true);
  if (from_host) host_side(from, false);
  const cudaStream_t stream = stream_of(handle);
  if (stream->capturing && pageable) {
    stream->capturing->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  const Traced line(nullptr,
                    to_host     ? "copy to the host"
                    : from_host ? "copy to the device"
                                : "copy",
                    {}, {}, 0);
  return submit(handle, std::move(work));
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  const Traced line(nullptr, "fill", {}, {}, 0);
  return submit(stream, {.run = [=] { std::memset(to, value, bytes); }});
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(runtime_mutex());
  *stream = new_stream(current_device());
  return g_dead;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  // Events may still name it: it stays, with nothing in it.
  return cudaStreamSynchronize(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  const cudaStream_t stream = stream_of(handle);
  if (stream->capturing) {
    stream->capturing->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return wait_for(stream, stream->queued);
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  const cudaStream_t stream = stream_of(handle);
  progress();
  if (!stream->capturing && stream->done < stream->queued) return cudaErrorNotReady;
  return cudaStreamSynchronize(stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Lock lock(runtime_mutex());
  const cudaStream_t stream = stream_of(handle);
  if (event->captured_in) {
    // Waiting for captured work makes a stream's own work part of the same graph.
    if (!stream->capturing) {
      stream->capturing = event->captured_in;
      stream->capturing->streams.push_back(stream);
    }
    return cudaSuccess;
  }
  if (!event->stream) return cudaSuccess;  // never recorded
  if (stream->capturing) {
    stream->capturing->broken = true;
    return cudaErrorStreamCaptureIsolation;
  }
  return submit(stream, {.awaits = event->stream, .place = event->place});
}
cudaError_t cudaDeviceSynchronize() {
  const Lock lock(runtime_mutex());
  if (breaks_capture(true)) return cudaErrorStreamCaptureUnsupported;
  observe_everything();
  return g_dead;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Lock lock(runtime_mutex());
  *event = new EmulatedEvent;
  (*event)->device = current_device();
  return g_dead;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  const cudaStream_t stream = stream_of(handle);
  if (event->device != stream->device) return cudaErrorInvalidResourceHandle;
  event->captured_in = stream->capturing;
  const cudaError_t status =
      submit(stream, {.run = [state = event->state] { state->time = Clock::now(); }});
  event->stream = stream;
  event->place = stream->queued;
  return status;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(runtime_mutex());
  if (event->captured_in) {
    event->captured_in->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return event->stream ? wait_for(event->stream, event->place) : g_dead;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(runtime_mutex());
  progress();
  if (!event->captured_in && event->stream && event->stream->done < event->place)
    return cudaErrorNotReady;
  return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  const Lock lock(runtime_mutex());
  for (const cudaEvent_t event : {start, stop}) {
    if (!event->stream) return cudaErrorInvalidResourceHandle;
    if (event->stream->done < event->place) return cudaErrorNotReady;
  }
  *milliseconds =
      std::chrono::duration<float, std::milli>(stop->state->time - start->state->time).count();
  return g_dead;
}
cudaError_t cudaGetLastError() {
  return dead();
}
cudaError_t cudaPeekAtLastError() {
  return dead();
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
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(runtime_mutex());
  if (g_dead != cudaSuccess) return g_dead;
  if (!stream || stream->capturing) return cudaErrorInvalidValue;
  if (refuses_capture("begin")) return cudaErrorStreamCaptureUnsupported;
  stream->capturing = new EmulatedGraph;
  stream->capturing->relaxed = mode == cudaStreamCaptureModeRelaxed;
  stream->capturing->streams.push_back(stream);
  g_captures.push_back(stream->capturing);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(runtime_mutex());
  *graph = nullptr;
  if (!stream->capturing || stream->capturing->streams.front() != stream)
    return cudaErrorInvalidValue;
  EmulatedGraph* captured = stream->capturing;
  std::erase(g_captures, captured);
  for (const cudaStream_t each : captured->streams) each->capturing = nullptr;
  captured->streams.clear();
  if (captured->broken || refuses_capture("end")) {
    delete captured;
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = captured;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Lock lock(runtime_mutex());
  *status =
      stream && stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  Work work;
  for (const Work& node : exec->nodes)
    work.uses.insert(work.uses.end(), node.uses.begin(), node.uses.end());
  work.run = [nodes = exec->nodes] {
    for (const Work& node : nodes) node.run();
  };
  return submit(stream, std::move(work));
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
