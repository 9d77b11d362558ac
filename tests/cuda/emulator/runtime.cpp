// The runtime API over host memory. "Device" memory is a reserved range of addresses that the host
// cannot touch outside of kernels and copies; each allocation ends at a page nobody may touch.
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/emulator/emulator.h"

using Clock = std::chrono::steady_clock;

struct EmulatedGraph {
  std::vector<std::function<void()>> nodes;
};
struct EmulatedStream {
  EmulatedGraph* capturing = nullptr;
};
struct EmulatedEvent {
  Clock::time_point time;
};

namespace sing::emulator {
namespace {

constexpr size_t kReserved = size_t{64} << 30;
constexpr size_t kPage = 4096;
constexpr size_t kTotal = size_t{2} << 30;  // what the device claims to have

std::recursive_mutex g_mutex;
int g_access = 0;

struct Memory {
  char* base = nullptr;
  size_t used = 0;
  size_t allocated = 0;
  struct Block {
    char* pages;
    size_t length, bytes;
  };
  std::map<void*, Block> blocks;

  Memory() {
    base = static_cast<char*>(
        mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base == MAP_FAILED) std::abort();
  }
  void protect(int rights) const {
    for (const auto& [pointer, block] : blocks) mprotect(block.pages, block.length, rights);
  }
  bool holds(const void* address) const { return address >= base && address < base + kReserved; }
};
Memory& memory() {
  static Memory* instance = new Memory;
  return *instance;
}

void on_fault(int signal, siginfo_t* info, void*) {
  if (memory().holds(info->si_addr)) {
    const char* text = g_access > 0 ? "emulator: a kernel or copy left its device memory\n"
                                    : "emulator: the host touched device memory\n";
    [[maybe_unused]] const auto written = write(2, text, std::strlen(text));
  }
  std::signal(signal, SIG_DFL);
}

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

}  // namespace

DeviceAccess::DeviceAccess() {
  g_mutex.lock();
  if (g_access++ == 0) memory().protect(PROT_READ | PROT_WRITE);
}
DeviceAccess::~DeviceAccess() {
  if (--g_access == 0) memory().protect(PROT_NONE);
  g_mutex.unlock();
}

void launch(dim3 blocks, dim3 threads, size_t shared, cudaStream_t stream,
            std::function<void()> body) {
  submit(stream, [blocks, threads, shared, body = std::move(body)] {
    run_kernel(blocks, threads, shared, body);
  });
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
  *properties = {"emulated device", 9, 0, 2, 32, 1 << 20, kTotal, size_t{227} << 10};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** result, size_t bytes) {
  const std::lock_guard lock(g_mutex);
  static const bool handler = [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    return true;
  }();
  (void)handler;
  Memory& m = memory();
  const size_t length = (bytes + kPage - 1) / kPage * kPage;
  if (length > kTotal - m.allocated || m.used + length + kPage > kReserved)
    return cudaErrorMemoryAllocation;
  char* pages = m.base + m.used;
  m.used += length + kPage;
  m.allocated += length;
  mprotect(pages, length, PROT_READ | PROT_WRITE);
  std::memset(pages, 0xff, length);  // NaN: fresh memory holds nothing
  // The end lies at the page behind, as near as an alignment of 256 allows.
  char* pointer = pages + (length - bytes) / 256 * 256;
  m.blocks[pointer] = {pages, length, bytes};
  if (g_access == 0) mprotect(pages, length, PROT_NONE);
  *result = pointer;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  const std::lock_guard lock(g_mutex);
  if (!pointer) return cudaSuccess;
  Memory& m = memory();
  const auto it = m.blocks.find(pointer);
  if (it == m.blocks.end()) return cudaErrorInvalidValue;
  m.allocated -= it->second.length;
  mmap(it->second.pages, it->second.length, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  m.blocks.erase(it);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** result, size_t bytes, unsigned) {
  *result = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  return *result ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(g_mutex);
  *free = kTotal - memory().allocated;
  *total = kTotal;
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
  return stream && stream->capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
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
  return submit(stream, [event] { event->time = Clock::now(); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) {
  return cudaSuccess;
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
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->capturing) return cudaErrorInvalidValue;
  stream->capturing = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return *graph ? cudaSuccess : cudaErrorInvalidValue;
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
