#pragma once
// What kernels know of the backend they belong to (src/backend/cuda implements it).
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "sing/backend/plugin.h"
#include "sing/backend/profile.h"
#include "sing/core/device.h"

namespace sing::cuda {

/// The CUDA stream of a Stream; the null one is the backend's compute stream.
cudaStream_t native(Stream stream);
/// Throws BackendError "<what> failed on cuda:0: <CUDA's words>", with what this thread is about
/// (backend::place_text) and what to do; OutOfMemoryError where that is what CUDA says.
void check(cudaError_t status, const std::string& what);
inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) check(status, std::string(what));
}

/// Right before anything is queued on a stream, for profiles.
void launching(Stream stream);
/// Right behind a launch of `kernel`: throws if it was refused. With SING_CUDA_SYNC=1 waits for it,
/// so that an error belongs to its op.
void launched(Stream stream, const void* kernel, cudaError_t status);

/// A call of a library, a copy or a fill, for people.
struct Described {
  std::string name;
  backend::Work work;  // as far as it is known
};
void note_launched(Described launch);
/// With SING_CUDA_SYNC=1 waits for `stream`; else cudaSuccess.
cudaError_t wait_if_asked(Stream stream);
/// The same behind what has no kernel of ours. `describe` returns a Described; it is called when
/// somebody wants to know.
template <class Describe>
void launched(Stream stream, const Describe& describe) {
  if (backend::profiling()) note_launched(describe());
  const cudaError_t status = wait_if_asked(stream);
  if (status != cudaSuccess) check(status, describe().name);
}

/// Scratch memory of one kernel call, given back in stream order.
class Workspace {
 public:
  Workspace(size_t bytes, Stream stream);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
  size_t bytes_;
  Stream stream_;
};

/// What a kernel found wrong in its data (an index out of range); the first one stays. It becomes
/// a DataError when the host next waits for the device.
struct Fault {
  int code;  ///< 0: none; kIndexFault
  int64_t value, limit;
};
inline constexpr int kIndexFault = 1;
/// Host memory that kernels can write.
Fault* fault();

/// Multiprocessors of the device, for grids that stay resident.
int multiprocessors();

/// Remembers a kernel until the backend is added to the program (src/backend/cuda/plugin.cpp).
bool add_kernel(void (*fill)(backend::Registrar& registrar));

/// At namespace scope in the kernel's file; the slot's name needs its namespace.
#define SING_CUDA_KERNEL(SLOT, FUNCTION)                                     \
  [[maybe_unused]] static const bool SING_CONCAT(registered_, __COUNTER__) = \
      ::sing::cuda::add_kernel(                                              \
          [](::sing::backend::Registrar& registrar) { registrar.kernel(SLOT, FUNCTION); });

}  // namespace sing::cuda
