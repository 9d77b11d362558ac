#include "backend/cuda/switches.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sing/core/error.h"

namespace sing::cuda {
namespace {
std::atomic<bool> g_deterministic{true};
}

bool read_switch(const char* name, bool otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  return std::string_view(text) != "0" && std::string_view(text) != "off";
}

Provider read_provider(const char* name) {
  const char* text = std::getenv(name);
  const std::string value = text == nullptr ? "own" : text;
  if (value == "own" || value.empty()) return Provider::own;
  if (value == "cudnn") return Provider::cudnn;
  if (value == "auto") return Provider::automatic;
  throw ConfigError(std::string(name) + " must be own, cudnn or auto; got " + value);
}

bool allow_tf32() {
  static const bool value = read_switch("SING_CUDA_TF32", false);
  return value;
}

bool library_epilogues() {
  static const bool value = read_switch("SING_CUDA_EPILOGUES", true);
  return value;
}

void set_deterministic(bool on) {
  g_deterministic = on;
}
bool deterministic() {
  return g_deterministic;
}

}  // namespace sing::cuda
