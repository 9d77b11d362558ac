#include "backend/cuda/cudnn/parts.h"

#include <cudnn.h>
#include <dlfcn.h>

namespace sing::cuda::cudnn {

std::string missing_part() {
  const std::string part = "libcudnn_graph.so." + std::to_string(CUDNN_MAJOR);
  if (dlopen(part.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return {};
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&cudnnGetVersion), &info) == 0 || !info.dli_fname)
    return {};
  // Its own RUNPATH names the folder it lies in, ours may not.
  const std::string library = info.dli_fname;
  const std::string beside = library.substr(0, library.rfind('/') + 1) + part;
  if (dlopen(beside.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return {};
  return part + " was not found, which " + library +
         " is made of: put the folder of cuDNN into LD_LIBRARY_PATH";
}

}  // namespace sing::cuda::cudnn
