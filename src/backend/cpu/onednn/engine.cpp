#include "backend/cpu/onednn/engine.h"

#include <dlfcn.h>

#include "sing/backend/runtime.h"

namespace sing::backend::onednn {
namespace {

/// The OpenMP runtime that libdnnl brought along as its own dependency; both empty when it was
/// built without one. Looked up rather than linked, so that SING needs no OpenMP itself.
struct OpenMp {
  void (*set_num_threads)(int) = nullptr;
  int (*get_max_threads)() = nullptr;
};

OpenMp find_openmp() {
  OpenMp found;
  found.set_num_threads =
      reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  found.get_max_threads = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  return found;
}

const OpenMp& openmp() {
  static const OpenMp found = find_openmp();
  return found;
}

dnnl::engine* make_engine() {
  if (cpu_isa() == "avx2") dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
  if (cpu_isa() == "base") dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
  return new dnnl::engine(dnnl::engine::kind::cpu, 0);
}

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine* instance = make_engine();  // outlives cached primitives
  return *instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

OneThread::OneThread() : before_(0) {
  const OpenMp& omp = openmp();
  if (!omp.set_num_threads || !omp.get_max_threads) return;
  before_ = omp.get_max_threads();
  if (before_ != 1) omp.set_num_threads(1);
}
OneThread::~OneThread() {
  if (before_ > 1) openmp().set_num_threads(before_);
}

bool serves(DType dtype) {
  return dtype == DType::f32 || (dtype == DType::bf16 && cpu_has_bf16());
}

dnnl::memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

Workspace::Workspace(size_t bytes)
    : bytes_(bytes), data_(bytes == 0 ? nullptr : runtime({}).allocate(bytes, {})) {}
Workspace::~Workspace() {
  if (data_) runtime({}).release(data_, bytes_, {});
}

}  // namespace sing::backend::onednn
