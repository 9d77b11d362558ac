#pragma once
// What every oneDNN (2.6) wrapper shares. Primitives run one-threaded inside chunks of our own
// pool, so results depend on the chunks (fixed by the problem) and never on the thread count.
#include <cstdint>
#include <dnnl.hpp>
#include <string>

#include "sing/core/dtype.h"
#include "sing/core/error.h"

namespace sing::backend::onednn {

/// The process-wide CPU engine, limited to the instruction set in use.
const dnnl::engine& engine();
/// This thread's stream.
dnnl::stream& stream();

/// oneDNN sees one thread on the calling thread while it lives.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

/// `kernel` as a fast kernel of slot `op`: false where oneDNN does not implement the problem (the
/// reference takes over), BackendError for any other failure of the library.
template <class Args>
bool guarded(const char* op, bool (*kernel)(const Args&), const Args& args) {
  try {
    return kernel(args);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return false;
    throw BackendError(std::string(op) + ": oneDNN says: " + e.what());
  }
}

/// f32 always; bf16 where the processor multiplies it natively.
bool serves(DType dtype);
dnnl::memory::data_type data_type(DType dtype);

/// Memory of the CPU arena, released at the end of the scope.
class Workspace {
 public:
  explicit Workspace(size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  size_t bytes_;
  void* data_;
};

}  // namespace sing::backend::onednn
