// What libsing_cuda.so says to the program that opens it.
#include "sing/backend/plugin.h"

#include <cuda_runtime.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "backend/cuda/architectures.h"
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

std::string architecture_obstacle(const cudaDeviceProp& properties) {
  const std::string built = SING_CUDA_ARCHITECTURES;
  if (runs_on(built, properties.major, properties.minor)) return {};
  const std::string capability =
      std::to_string(properties.major) + "." + std::to_string(properties.minor);
  return std::string(properties.name) + " has compute capability " + capability +
         ", this backend was built for " + built + ": build it with -DCMAKE_CUDA_ARCHITECTURES=" +
         std::to_string(10 * properties.major + properties.minor) + "-real";
}

const char* probe() noexcept {
  try {
    int driver = 0, runtime = 0;  // never fails, also without a driver
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
      return "no NVIDIA driver is installed";
    const auto text = [](int version) {
      return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
    };
    // Within one major version an older driver serves newer programs.
    if (cudaRuntimeGetVersion(&runtime) == cudaSuccess && driver / 1000 < runtime / 1000)
      return kept("the NVIDIA driver serves CUDA " + text(driver) + ", this backend needs CUDA " +
                  std::to_string(runtime / 1000) +
                  ": update the driver, or build with an older toolkit");
    int count = 0;  // not written when there is none
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
      cudaGetLastError();
      return kept(std::string("the NVIDIA driver reports no usable device (") +
                  cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status) + ")");
    }
    // One that is not the first may be asked for, and then says so itself.
    std::string obstacle;
    for (int device = 0; device < count; ++device) {
      cudaDeviceProp properties{};
      const cudaError_t asked = cudaGetDeviceProperties(&properties, device);
      const std::string found =
          asked == cudaSuccess
              ? architecture_obstacle(properties)
              : "cuda:" + std::to_string(device) + " does not answer: " + cudaGetErrorString(asked);
      if (found.empty()) return nullptr;
      if (obstacle.empty()) obstacle = found;
    }
    cudaGetLastError();
    return kept(obstacle);
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
