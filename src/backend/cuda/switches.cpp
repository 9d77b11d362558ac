#include "backend/cuda/switches.h"

#include <cstdlib>
#include <string_view>

namespace sing::cuda {

bool read_switch(const char* name, bool otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  return std::string_view(text) != "0";
}

bool allow_tf32() {
  static const bool value = read_switch("SING_CUDA_TF32", false);
  return value;
}

bool deterministic() {
  static const bool value = read_switch("SING_CUDA_DETERMINISTIC", true);
  return value;
}

}  // namespace sing::cuda
