#include "backend/cuda/switches.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace sing::cuda {
namespace {
std::atomic<bool> g_deterministic{true};
}

bool read_switch(const char* name, bool otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  return std::string_view(text) != "0";
}

bool allow_tf32() {
  static const bool value = read_switch("SING_CUDA_TF32", false);
  return value;
}

void set_deterministic(bool on) {
  g_deterministic = on;
}
bool deterministic() {
  return g_deterministic;
}

}  // namespace sing::cuda
