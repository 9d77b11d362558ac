#include "cuda/emulator/trace.h"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/emulator/emulator.h"
#include "sing/backend/layer_scope.h"
#include "sing/backend/memory.h"

namespace sing::emulator {
namespace {

size_t g_read, g_written;  // of the launch at hand; launches are made one at a time

const char* file_name() {
  return std::getenv("SING_EMULATOR_TRACE");
}

/// The name of a kernel with its template arguments, without namespaces and parameters.
std::string readable(const void* kernel) {
  const char* symbol = nullptr;
  if (cudaFuncGetName(&symbol, kernel) != cudaSuccess) return "kernel";
  int status = 0;
  char* text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : symbol;
  std::free(text);
  for (const std::string junk :
       {"sing::cuda::", "(anonymous namespace)::", "sing::optim::", "void "})
    for (size_t at; (at = name.find(junk)) != std::string::npos;) name.erase(at, junk.size());
  int depth = 0;  // the parameters begin at the first parenthesis outside of all brackets
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0 && i > 0) return name.substr(0, i);
  }
  return name;
}

void write_line(const std::string& name, uint64_t blocks, uint64_t threads, size_t shared,
                double read, double written, double flops) {
  std::FILE* file = std::fopen(file_name(), "a");
  if (file == nullptr) fail("the file of the trace cannot be written");
  const char *layer = backend::layer(), *op = backend::current_op();
  std::fprintf(file, "%s\t%s\t%s\t%llu\t%llu\t%zu\t%.0f\t%.0f\t%.0f\n", layer ? layer : "",
               op ? op : "", name.c_str(), static_cast<unsigned long long>(blocks),
               static_cast<unsigned long long>(threads), shared, read, written, flops);
  std::fclose(file);
}

uint64_t count(dim3 d) {
  return uint64_t{d.x} * d.y * d.z;
}

}  // namespace

bool tracing() {
  return file_name() != nullptr;
}
bool dry() {
  return std::getenv("SING_EMULATOR_DRY") != nullptr;
}

Traced::Traced(const void* kernel, const char* name, dim3 blocks, dim3 threads, size_t shared)
    : kernel_(kernel), name_(name), blocks_(blocks), threads_(threads), shared_(shared) {
  g_read = g_written = 0;
}
Traced::~Traced() {
  if (!tracing()) return;
  write_line(name_ ? name_ : readable(kernel_), count(blocks_), count(threads_), shared_,
             static_cast<double>(g_read), static_cast<double>(g_written), 0);
}

void touched(size_t bytes, bool written) {
  (written ? g_written : g_read) += bytes;
}

void trace_call(const char* name, double read, double written, double flops) {
  write_line(name, 0, 0, 0, read, written, flops);
}

void zero_unless_dry(void* to, size_t bytes) {
  if (dry()) return;
  const DeviceAccess access;
  std::memset(to, 0, bytes);
}

}  // namespace sing::emulator
