#include "backend/cuda/kernel_name.h"

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace sing::cuda {
namespace {

std::string look_up(const void* kernel) {
  const char* symbol = nullptr;
  if (cudaFuncGetName(&symbol, kernel) != cudaSuccess || symbol == nullptr) {
    cudaGetLastError();
    return "a kernel";
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  return readable(demangled ? demangled.get() : symbol);
}

}  // namespace

const std::string& kernel_name(const void* kernel) {
  static std::mutex mutex;
  static auto* names = new std::unordered_map<const void*, std::string>;  // outlives every thread
  const std::lock_guard lock(mutex);
  const auto found = names->find(kernel);
  if (found != names->end()) return found->second;
  return names->emplace(kernel, look_up(kernel)).first->second;
}

}  // namespace sing::cuda
