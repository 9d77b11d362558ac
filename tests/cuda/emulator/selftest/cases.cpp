#include "cuda/emulator/selftest/cases.h"

#include "kernels/cuda/launch.h"

// What launch() asks of the backend: nothing that matters here.
namespace sing::cuda {
cudaStream_t native(Stream stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
void launching(Stream) {}
void launched(Stream, const void*, cudaError_t) {}
}  // namespace sing::cuda

namespace sing::emulator_cases {
namespace {

using cuda::Grid;
using cuda::launch;

/// Device memory with its copy on the host.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t n) : n_(n) {
    void* memory = nullptr;
    cudaMalloc(&memory, n * sizeof(T));
    at_ = static_cast<T*>(memory);
    cudaMemsetAsync(at_, 0, n * sizeof(T), nullptr);
    cudaStreamSynchronize(nullptr);  // other streams do not wait for this one
  }
  ~Buffer() { cudaFree(at_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return at_; }
  std::vector<T> read() const {
    std::vector<T> host(n_);
    cudaDeviceSynchronize();  // whatever stream has written it
    cudaMemcpyAsync(host.data(), at_, n_ * sizeof(T), cudaMemcpyDeviceToHost, nullptr);
    cudaStreamSynchronize(nullptr);
    return host;
  }

 private:
  size_t n_;
  T* at_ = nullptr;
};

constexpr Grid kOneBlock{dim3(1), dim3(kThreads)};

__global__ void neighbour_kernel(int* out, bool barrier) {
  __shared__ int values[kThreads];
  const int t = static_cast<int>(threadIdx.x);
  values[t] = t;
  if (barrier) __syncthreads();
  out[t] = t > 0 ? values[t - 1] : -1;
}

__global__ void sum_pairs_kernel(int* to, const int* pairs) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  to[i] = pairs[2 * i] + pairs[2 * i + 1];
}
__global__ void increase_kernel(int* values) {
  int* const at = values + blockIdx.x * blockDim.x + threadIdx.x;
  *at = *static_cast<const volatile int*>(at) + 1;  // in one instruction the read would not be seen
}

__global__ void leave_kernel(float* out, bool write) {
  __shared__ float value;
  if (write)
    value = 1;
  else
    *out = value;
}

__global__ void atomic_sum_kernel(float* out) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(out, i % 3 == 0 ? 1e8f : i % 3 == 1 ? -1e8f : 1.0f);
}

__global__ void halves_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  int sum = lane;
  for (int offset = 8; offset > 0; offset /= 2) sum += __shfl_xor_sync(half, sum, offset);
  // One half meets more often than the other before all meet again.
  if (lane < 16) __syncwarp(half);
  const int all = sum + __shfl_xor_sync(0xffffffffu, sum, 16);
  if (lane % 16 == 0) out[lane / 16] = sum;
  if (lane == 31) out[2] = all;
}

__global__ void last_byte_kernel(int* out, int bytes) {
  SING_DYNAMIC_SHARED(unsigned char, memory);
  memory[bytes - 1] = 7;
  *out = memory[bytes - 1];
}

__global__ void add_kernel(int* at, int value) {
  at[threadIdx.x] += value;
}

__global__ void exponential_kernel(float* at) {
  *at = std::exp(*at + 1);
}

__global__ void out_of_bounds_kernel(int* at, int i) {
  at[i] = 1;
}
__global__ void __launch_bounds__(64, 2) bounded_kernel(int* at) {
  at[threadIdx.x] = 1;
}
__global__ void early_end_kernel() {
  if (threadIdx.x >= 16) return;
  __syncthreads();
}
__global__ void two_barriers_kernel() {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void absent_lane_kernel(int* out) {
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 16);
}
__global__ void foreign_mask_kernel(int* out) {
  if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xffffff00u, 1, 8);
}
__global__ void different_masks_kernel(int* out) {
  const unsigned mask = threadIdx.x < 16 ? 0xffffffffu : 0xffff00ffu;
  out[threadIdx.x] = __shfl_sync(mask, 1, 0);
}
__global__ void waiting_kernel(int* out) {
  if (threadIdx.x == 0) return;
  out[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 1);
}
__global__ void static_shared_kernel(int* out, int last) {
  __shared__ int values[4][5];
  for (int i = 0; i <= last; ++i) values[3][i] = i;
  *out = values[3][last];
}
__global__ void deep_kernel(int* out) {
  volatile char large[200 << 10];
  for (size_t i = 0; i < sizeof large; i += 1024) large[sizeof large - 1 - i] = 1;
  *out = large[0];
}

}  // namespace

std::vector<int> neighbours(bool barrier) {
  Buffer<int> out(kThreads);
  launch(neighbour_kernel, kOneBlock, Stream{}, out.data(), barrier);
  return out.read();
}

float left_in_shared_memory() {
  Buffer<float> out(1);
  const Grid grid{dim3(1), dim3(1)};
  launch(leave_kernel, grid, Stream{}, out.data(), true);
  launch(leave_kernel, grid, Stream{}, out.data(), false);
  return out.read()[0];
}

float sum_in_any_order() {
  Buffer<float> out(1);
  launch(atomic_sum_kernel, {dim3(3), dim3(kThreads)}, Stream{}, out.data());
  return out.read()[0];
}

float exponential_of_one() {
  Buffer<float> out(1);
  launch(exponential_kernel, {dim3(1), dim3(1)}, Stream{}, out.data());
  return out.read()[0];
}

std::vector<int> sums_of_halves() {
  Buffer<int> out(3);
  launch(halves_kernel, {dim3(1), dim3(32)}, Stream{}, out.data());
  return out.read();
}

int large_shared_memory(bool asked_for) {
  constexpr int kBytes = 60 << 10;
  if (asked_for)
    cudaFuncSetAttribute(last_byte_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  Buffer<int> out(1);
  launch(last_byte_kernel, {dim3(1), dim3(1), kBytes}, Stream{}, out.data(), kBytes);
  return out.read()[0];
}

namespace {

std::vector<int> capture_and_replay(bool two_streams) {
  Buffer<int> buffer(1);
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t begun = nullptr, done = nullptr;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&begun, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
  const Grid one{dim3(1), dim3(1)};
  cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal);
  launch(add_kernel, one, Stream{first}, buffer.data(), 1);
  cudaEventRecord(begun, first);
  if (two_streams) cudaStreamWaitEvent(second, begun, 0);
  launch(add_kernel, one, Stream{two_streams ? second : first}, buffer.data(), 10);
  if (two_streams) {
    cudaEventRecord(done, second);
    cudaStreamWaitEvent(first, done, 0);
  }
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(first, &graph);
  std::vector<int> seen = buffer.read();
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiate(&exec, graph, 0);
  for (int i = 0; i < 3; ++i) cudaGraphLaunch(exec, first);
  seen.push_back(buffer.read()[0]);
  // The streams work by themselves again.
  launch(add_kernel, one, Stream{first}, buffer.data(), 100);
  launch(add_kernel, one, Stream{second}, buffer.data(), 100);
  seen.push_back(buffer.read()[0]);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaEventDestroy(begun);
  cudaEventDestroy(done);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
  return seen;
}

}  // namespace

std::vector<int> replayed() {
  return capture_and_replay(false);
}
std::vector<int> replayed_over_two_streams() {
  return capture_and_replay(true);
}

std::vector<int> memory_while_capturing() {
  std::vector<int> errors;
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed}) {
    cudaStreamBeginCapture(stream, mode);
    void* memory = nullptr;
    errors.push_back(cudaMalloc(&memory, 256));
    cudaGraph_t graph = nullptr;
    errors.push_back(cudaStreamEndCapture(stream, &graph));
    if (memory) cudaFree(memory);
    if (graph) cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(stream);
  return errors;
}

int read_on_another_stream(bool waits) {
  Buffer<int> first(1), second(1);
  cudaStream_t writer = nullptr, reader = nullptr;
  cudaEvent_t written = nullptr;
  cudaStreamCreateWithFlags(&writer, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&reader, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&written, cudaEventDisableTiming);
  launch(add_kernel, {dim3(1), dim3(1)}, Stream{writer}, first.data(), 7);
  cudaEventRecord(written, writer);
  if (waits) cudaStreamWaitEvent(reader, written, 0);
  cudaMemcpyAsync(second.data(), first.data(), sizeof(int), cudaMemcpyDeviceToDevice, reader);
  cudaStreamSynchronize(reader);
  const int seen = second.read()[0];
  cudaEventDestroy(written);
  cudaStreamDestroy(writer);
  cudaStreamDestroy(reader);
  return seen;
}

std::vector<int> broken_captures() {
  Buffer<int> buffer(1);
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t outside = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&outside, cudaEventDisableTiming);
  cudaEventRecord(outside, other);
  std::vector<int> errors;
  const int pageable = 0;
  for (int rule = 0; rule < 3; ++rule) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
    errors.push_back(rule == 0   ? cudaMemcpyAsync(buffer.data(), &pageable, sizeof(int),
                                                   cudaMemcpyHostToDevice, stream)
                     : rule == 1 ? cudaDeviceSynchronize()
                                 : cudaStreamWaitEvent(stream, outside, 0));
    cudaGraph_t graph = nullptr;
    errors.push_back(cudaStreamEndCapture(stream, &graph));
  }
  cudaEventDestroy(outside);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(other);
  return errors;
}

std::vector<int> refused_calls() {
  Buffer<int> buffer(1);
  int host = 0;
  std::vector<int> errors = {
      cudaMemcpyAsync(&host, buffer.data(), sizeof host, cudaMemcpyHostToDevice, nullptr)};
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaSetDevice(1);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  errors.push_back(cudaEventRecord(event, stream));
  cudaSetDevice(0);
  cudaEventDestroy(event);
  cudaStreamDestroy(stream);
  return errors;
}

namespace {

void break_rule_of_pinned(const std::string& what) {
  Buffer<int> out(1);
  void* memory = nullptr;
  cudaHostAlloc(&memory, sizeof(int), cudaHostAllocDefault);
  auto* const host = static_cast<volatile int*>(memory);
  const bool into = what == "pinned memory read too early";
  *host = 1;
  cudaMemcpyAsync(into ? memory : out.data(), into ? out.data() : memory, sizeof(int),
                  into ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, nullptr);
  if (into) {
    [[maybe_unused]] const int seen = *host;
  }
  if (what == "pinned memory written too early") *host = 2;
  if (what == "pinned memory given back too early") cudaFreeHost(memory);
  // Nothing is wrong with this one.
  cudaStreamSynchronize(nullptr);
  *host = *host + 1;
  cudaFreeHost(memory);
}

}  // namespace

void break_rule(const std::string& what) {
  if (what.starts_with("pinned")) return break_rule_of_pinned(what);
  const Grid one{dim3(1), dim3(1)};
  Buffer<int> out(1024);
  if (what == "write behind the end") launch(out_of_bounds_kernel, one, Stream{}, out.data(), 1024);
  if (what == "write far before the start")
    launch(out_of_bounds_kernel, one, Stream{}, out.data(), -1025);
  if (what == "write just behind the end") {
    Buffer<int> small(3);
    launch(out_of_bounds_kernel, one, Stream{}, small.data(), 3);
  }
  if (what == "use after free") {
    int* gone = nullptr;
    {
      Buffer<int> freed(1024);
      gone = freed.data();
    }
    launch(out_of_bounds_kernel, one, Stream{}, gone, 0);
  }
  if (what == "copy too much") {
    std::vector<int> host(2048);
    cudaMemcpyAsync(host.data(), out.data(), 8192, cudaMemcpyDeviceToHost, nullptr);
    cudaStreamSynchronize(nullptr);
  }
  if (what == "host read") {
    volatile const int* at = out.data();
    [[maybe_unused]] const int seen = *at;
  }
  if (what == "early end") launch(early_end_kernel, kOneBlock, Stream{});
  if (what == "two barriers") launch(two_barriers_kernel, kOneBlock, Stream{});
  if (what == "absent lane") launch(absent_lane_kernel, {dim3(1), dim3(8)}, Stream{}, out.data());
  if (what == "foreign mask")
    launch(foreign_mask_kernel, {dim3(1), dim3(32)}, Stream{}, out.data());
  if (what == "different masks")
    launch(different_masks_kernel, {dim3(1), dim3(32)}, Stream{}, out.data());
  if (what == "ended lane") launch(waiting_kernel, {dim3(1), dim3(32)}, Stream{}, out.data());
  if (what == "dynamic shared memory")
    launch(last_byte_kernel, {dim3(1), dim3(1), 64}, Stream{}, out.data(), 65);
  if (what == "static shared memory") launch(static_shared_kernel, one, Stream{}, out.data(), 5);
  if (what == "stack") launch(deep_kernel, one, Stream{}, out.data());
  if (what == "launch bounds") {
    launch(bounded_kernel, {dim3(1), dim3(64)}, Stream{}, out.data());
    launch(bounded_kernel, {dim3(1), dim3(32, 3)}, Stream{}, out.data());
  }
  if (what == "threads") launch(add_kernel, {dim3(1), dim3(1025)}, Stream{}, out.data(), 1);
  cudaDeviceSynchronize();
}

std::vector<int> sums_and_increases() {
  constexpr int kBlocks = 32;
  constexpr size_t kNumbers = size_t{kBlocks} * kThreads;
  Buffer<int> sums(kNumbers), pairs(2 * kNumbers);
  const Grid grid{dim3(kBlocks), dim3(kThreads)};
  launch(sum_pairs_kernel, grid, Stream{}, sums.data(), static_cast<const int*>(pairs.data()));
  launch(increase_kernel, grid, Stream{}, sums.data());
  std::vector<int> read = sums.read();
  return {read.front(), read.back(), static_cast<int>(kNumbers)};
}

}  // namespace sing::emulator_cases
