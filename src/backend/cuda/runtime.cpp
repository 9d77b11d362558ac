#include "backend/cuda/runtime.h"

#include <cstdio>
#include <utility>

#include "backend/cuda/kernel_name.h"
#include "backend/cuda/switches.h"
#include "kernels/cuda/random.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::cuda {
namespace {

cudaMemcpyKind kind_of(backend::CopyKind kind) {
  switch (kind) {
    case backend::CopyKind::host_to_host:
      return cudaMemcpyHostToHost;
    case backend::CopyKind::host_to_device:
      return cudaMemcpyHostToDevice;
    case backend::CopyKind::device_to_host:
      return cudaMemcpyDeviceToHost;
    case backend::CopyKind::device_to_device:
      return cudaMemcpyDeviceToDevice;
  }
  return cudaMemcpyDefault;
}

const char* name_of(backend::CopyKind kind) {
  switch (kind) {
    case backend::CopyKind::host_to_device:
      return "copy host to device";
    case backend::CopyKind::device_to_host:
      return "copy device to host";
    default:
      return "copy";
  }
}

/// What to do about an error. Some are found when a launch is asked for, others break the process
/// some time after, at whatever is called next.
std::string hint_for(cudaError_t status, bool waited) {
  switch (status) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return "this backend was built for other GPUs (CMAKE_CUDA_ARCHITECTURES)";
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorLaunchOutOfResources:
      return "this is a fault of SING; please report it with these lines";
    default:
      break;
  }
  // What a kernel does wrong while it runs: 700 to 799, a broken memory, and what has no name.
  const bool asynchronous = (status >= 700 && status < 800) || status == 214 || status == 999;
  if (!asynchronous) return {};
  return waited
             ? "the GPU does nothing more for this process; compute-sanitizer shows the place in "
               "the kernel"
             : "what was queued before may be the cause: SING_CUDA_SYNC=1 waits for each launch "
               "and names its op";
}

}  // namespace

void Runtime::select(int index) {
  const std::lock_guard lock(selecting_);
  if (index_ == index) {
    // A thread starts with the first device. What is wrong with this one, a call will say.
    cudaSetDevice(index);
    return;
  }
  if (index_ >= 0)
    throw DeviceError("cuda:" + std::to_string(index) + " after cuda:" + std::to_string(index_) +
                          ": one process uses one GPU",
                      {}, "start one process per GPU");
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting the devices");
  if (index < 0 || index >= count)
    throw DeviceError("cuda:" + std::to_string(index) + " does not exist: this machine has " +
                          std::to_string(count) + " CUDA device" + (count == 1 ? "" : "s"),
                      {}, "device: cuda takes the first one");
  check(cudaGetDeviceProperties(&properties_, index), "asking for the properties of the device");
  if (const std::string obstacle = architecture_obstacle(properties_); !obstacle.empty())
    throw DeviceError("cuda:" + std::to_string(index) + " is not usable: " + obstacle);
  check(cudaSetDevice(index), "choosing the device");
  for (cudaStream_t& stream : streams_)
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  void* host = nullptr;
  check(cudaHostAlloc(&host, sizeof(Fault), cudaHostAllocMapped), "pinning memory");
  fault_ = new (host) Fault{};
  waits_ = read_switch("SING_CUDA_SYNC", false);
  index_ = index;
}

void* Runtime::allocate(size_t bytes, Stream stream) {
  int64_t limit = 0;
  void* memory = allocator_.allocate(bytes, native(stream), &limit);
  if (memory == nullptr)
    backend::throw_out_of_memory({DeviceType::cuda, static_cast<int16_t>(index_)}, bytes, limit);
  return memory;
}

void Runtime::release(void* memory, size_t bytes, Stream stream) noexcept {
  allocator_.release(memory, bytes, native(stream));
}

void Runtime::copy(void* to, const void* from, size_t bytes, backend::CopyKind kind,
                   Stream stream) {
  if (bytes == 0) return;
  launching(stream);
  check(cudaMemcpyAsync(to, from, bytes, kind_of(kind), native(stream)), "a copy");
  launched(stream, [&] {
    const auto count = static_cast<int64_t>(bytes);
    const bool inside = kind == backend::CopyKind::device_to_device;
    return Described{name_of(kind), {.read = inside ? count : 0, .written = count}};
  });
}

void Runtime::fill_zero(void* to, size_t bytes, Stream stream) {
  if (bytes == 0) return;
  launching(stream);
  check(cudaMemsetAsync(to, 0, bytes, native(stream)), "clearing memory");
  launched(stream, [&] { return Described{"fill", {.written = static_cast<int64_t>(bytes)}}; });
}

Stream Runtime::stream(int index) {
  SING_ASSERT(index >= 0 && index < kStreams);
  return {streams_[index]};
}

void Runtime::synchronize(Stream stream) {
  check(cudaStreamSynchronize(native(stream)), "work queued before");
  check_fault();
}

void Runtime::check_fault() {
  if (fault_->code == 0) return;
  const Fault found = std::exchange(*fault_, Fault{});
  throw DataError("index " + std::to_string(found.value) + " is out of range: wanted 0 to " +
                      std::to_string(found.limit - 1),
                  {}, "check the labels or token ids of the data set", "E0305");
}

backend::MemoryStatistics Runtime::memory() const {
  return allocator_.statistics();
}
void Runtime::reset_peak() {
  allocator_.reset_peak();
}
size_t Runtime::granted(size_t bytes) const {
  return allocator_.granted(bytes);
}

void* Runtime::allocate_host(size_t bytes) {
  cudaSetDevice(index_);  // whatever thread this is
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, bytes == 0 ? 1 : bytes, cudaHostAllocDefault), "pinning memory");
  return memory;
}
void Runtime::release_host(void* memory) noexcept {
  cudaSetDevice(index_);
  cudaFreeHost(memory);
}

void Runtime::allow_any_order(bool allowed) {
  set_deterministic(!allowed);
}

std::string Runtime::description() const {
  char text[400];
  std::snprintf(text, sizeof text, "%s, compute capability %d.%d, %.0f GiB", properties_.name,
                properties_.major, properties_.minor,
                static_cast<double>(properties_.totalGlobalMem) / 0x1p30);
  return text;
}

Runtime& runtime() {
  static Runtime* instance = new Runtime;  // never destroyed: outlives every static tensor
  return *instance;
}

cudaStream_t native(Stream stream) {
  return stream.handle ? static_cast<cudaStream_t>(stream.handle) : runtime().compute_stream();
}

void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  const std::string device = "cuda:" + std::to_string(std::max(0, runtime().index()));
  const std::string words = what + " failed on " + device + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation)
    throw OutOfMemoryError("out of GPU memory", words, {}, "E0602");
  throw BackendError(words, backend::place_text(),
                     hint_for(status, runtime().waits_after_launches()));
}

void launching(Stream stream) {
  if (!backend::profiling()) return;
  backend::begin_launch(native(stream) == runtime().compute_stream() ? 0 : 1);
}

void launched(Stream stream, const void* kernel, cudaError_t status) {
  if (status != cudaSuccess) check(status, "launching " + kernel_name(kernel));
  if (backend::profiling()) backend::end_launch(kernel_name(kernel));
  status = wait_if_asked(stream);
  if (status != cudaSuccess) check(status, kernel_name(kernel));
}

void note_launched(Described launch) {
  backend::end_launch(std::move(launch.name), launch.work);
}

cudaError_t wait_if_asked(Stream stream) {
  return runtime().waits_after_launches() ? cudaStreamSynchronize(native(stream)) : cudaSuccess;
}

DeviceKey device_key(const RandomKey& key) {
  return make_device_key(key, runtime().replay_epoch());
}

Fault* fault() {
  return runtime().fault();
}
int multiprocessors() {
  return runtime().multiprocessors();
}

Workspace::Workspace(size_t bytes, Stream stream)
    : data_(runtime().allocate(bytes, stream)), bytes_(bytes), stream_(stream) {
  backend::book_memory(DeviceType::cuda, backend::MemoryPurpose::workspace,
                       static_cast<int64_t>(runtime().granted(bytes_)));
}
Workspace::~Workspace() {
  backend::book_memory(DeviceType::cuda, backend::MemoryPurpose::workspace,
                       -static_cast<int64_t>(runtime().granted(bytes_)));
  runtime().release(data_, bytes_, stream_);
}

}  // namespace sing::cuda
