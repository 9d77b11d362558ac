#pragma once
// Stands in for the toolkit's header when device code is compiled by the host compiler: the words
// of CUDA C++ that our kernels use, and the part of the runtime API that the backend calls. Queued
// work is done some time before someone has waited for it, in the thread of a later call.
// tests/cuda/emulator/README.md says what this can show.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>

#define SING_CUDA_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static  // with red zones around it
#else
// All of it lies in one piece, so that a block finds nothing of the one before (shared.cpp).
#define __shared__ static thread_local
#endif
#define __forceinline__ inline __attribute__((always_inline))
#if defined(__clang__) || !defined(__x86_64__)
#define __launch_bounds__(...)
#else
// A kernel begins with as many instructions that do nothing as it may have warps: what a launch
// finds at its address (runtime.cpp).
#define __launch_bounds__(THREADS, ...) __attribute__((patchable_function_entry((THREADS) / 32, 0)))
#endif
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// --- the runtime API ---------------------------------------------------------------------------
enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
};
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount, warpSize, l2CacheSize;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
};
enum cudaMemcpyKind : int {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode : int {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus : int {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
enum cudaFuncAttribute : int { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2,
                          cudaEventDefault = 0, cudaHostAllocDefault = 0, cudaHostAllocMapped = 2;

cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void* nodes, size_t* count);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaFuncGetName(const char** name, const void* kernel);

// --- what a kernel calls -----------------------------------------------------------------------
namespace sing::emulator {

using Place = std::source_location;

/// Runs `body` once per thread, or adds it to the graph that `stream` is capturing. `kernel` is
/// what cudaFuncSetAttribute knows it by. SING_EMULATOR_FAIL=refuse:TEXT plants a failure: kernels
/// with TEXT in their name are refused (cudaErrorInvalidConfiguration); with break:TEXT such a
/// kernel breaks the device instead of running (cudaErrorIllegalAddress, for good).
cudaError_t launch(const void* kernel, dim3 blocks, dim3 threads, size_t shared,
                   cudaStream_t stream, std::function<void()> body);
cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value);
void* dynamic_shared();
void block_barrier(const Place& place);
/// All lanes of `mask` meet; returns the table of their values (16 bytes each). `source` is the
/// lane whose value will be read, or -1.
const unsigned char* warp_exchange(unsigned mask, const void* value, size_t size, int source);
int lane();
/// `exact`, or with SING_EMULATOR_MATH a number that lies `ulps` beside it.
float off(float exact, int ulps);
double off(double exact, int ulps);

template <class T>
T shuffle(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 16);
  const unsigned char* table = warp_exchange(mask, &value, sizeof(T), source & 31);
  T result;
  std::memcpy(&result, table + 16 * (source & 31), sizeof(T));
  return result;
}

}  // namespace sing::emulator

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return sing::emulator::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
inline void __syncthreads(const sing::emulator::Place& place = sing::emulator::Place::current()) {
  sing::emulator::block_barrier(place);
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  sing::emulator::warp_exchange(mask, "", 1, -1);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  return sing::emulator::shuffle(mask, value,
                                 (sing::emulator::lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int = 32) {
  return sing::emulator::shuffle(mask, value, sing::emulator::lane() ^ lanes);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32) {
  const int lane = sing::emulator::lane(), place = lane & (width - 1);
  return sing::emulator::shuffle(mask, value, place + delta < width ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32) {
  const int lane = sing::emulator::lane(), place = lane & (width - 1);
  return sing::emulator::shuffle(mask, value, place >= delta ? lane - delta : lane);
}
unsigned __ballot_sync(unsigned mask, bool predicate);
inline bool __any_sync(unsigned mask, bool predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate) {
  return __ballot_sync(mask, !predicate) == 0;
}
inline int __syncthreads_or(int predicate,
                            const sing::emulator::Place& place = sing::emulator::Place::current()) {
  static int any;
  __syncthreads(place);
  any = 0;
  __syncthreads(place);
  if (predicate) any = 1;
  __syncthreads(place);
  return any;
}

/// A load past the first cache, of which there is none here.
template <class T>
T __ldcg(const T* from) {
  return *from;
}

template <class T, class V>
T atomicAdd(T* to, V value) {
  const T before = *to;
  *to = static_cast<T>(before + value);
  return before;
}
template <class T, class V>
T atomicMax(T* to, V value) {
  const T before = *to;
  if (static_cast<T>(value) > before) *to = static_cast<T>(value);
  return before;
}
template <class T, class V>
T atomicOr(T* to, V value) {
  const T before = *to;
  *to = static_cast<T>(before | value);
  return before;
}
template <class T, class C, class V>
T atomicCAS(T* to, C compare, V value) {
  const T before = *to;
  if (before == static_cast<T>(compare)) *to = static_cast<T>(value);
  return before;
}
template <class T, class V>
T atomicExch(T* to, V value) {
  const T before = *to;
  *to = static_cast<T>(value);
  return before;
}
template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, T value) {
  *to = value;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
// Errors of the approximations, beyond what std::exp and its like bring themselves: CUDA C++
// Programming Guide, "Mathematical Functions".
inline float rsqrtf(float x) {
  return sing::emulator::off(1 / std::sqrt(x), 2);
}
inline double rsqrt(double x) {
  return sing::emulator::off(1 / std::sqrt(x), 1);
}
inline float __expf(float x) {
  return sing::emulator::off(std::exp(x),
                             static_cast<int>(1.173f * std::fmin(std::abs(x), 104.0f)));
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __fdividef(float a, float b) {
  return sing::emulator::off(a / b, 2);
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
