// What libsing_cuda.so says to the program that opens it.
#include "sing/backend/plugin.h"

#include <cuda_runtime.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"

namespace sing::cuda {
namespace {

using Fill = void (*)(backend::Registrar&);
std::vector<Fill>& fills() {
  static std::vector<Fill> list;
  return list;
}

/// Keeps the last sentence alive: the table hands out plain pointers.
const char* kept(std::string sentence) {
  static std::string text;
  text = std::move(sentence);
  return text.c_str();
}

/// The least compute capability the kernels were built for, times ten.
constexpr int kOldest = SING_CUDA_OLDEST_ARCHITECTURE;

const char* add(backend::Registrar* registrar) noexcept {
  try {
    registrar->runtime(&runtime());
    for (const Fill fill : fills()) fill(*registrar);
    return nullptr;
  } catch (const std::exception& error) {
    return kept(error.what());
  }
}

}  // namespace

bool add_kernel(Fill fill) {
  fills().push_back(fill);
  return true;
}

const char* probe() noexcept {
  try {
    int driver = 0;  // never fails, also without a driver
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
      return "no NVIDIA driver is installed";
    int count = 0;  // not written when there is none
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
      cudaGetLastError();
      return kept(std::string("the NVIDIA driver reports no usable device (") +
                  cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status) + ")");
    }
    cudaDeviceProp properties{};
    if (const cudaError_t asked = cudaGetDeviceProperties(&properties, 0); asked != cudaSuccess)
      return kept(std::string("cuda:0 does not answer: ") + cudaGetErrorString(asked));
    const int capability = properties.major * 10 + properties.minor;
    if (capability < kOldest)
      return kept(std::string(properties.name) + " has compute capability " +
                  std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                  ", this backend was built for " + std::to_string(kOldest / 10) + "." +
                  std::to_string(kOldest % 10) + " and newer");
    return nullptr;
  } catch (const std::exception& error) {
    return kept(error.what());
  }
}

}  // namespace sing::cuda

const SingBackendTable* sing_backend_entry(uint32_t host_abi) {
  if (host_abi != sing::backend::kBackendAbi) return nullptr;
  static const SingBackendTable table = {sizeof(SingBackendTable), sing::backend::kBackendAbi,
                                         &sing::cuda::probe, &sing::cuda::add};
  return &table;
}
