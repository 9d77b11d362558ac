#include <cpuid.h>

#include <cstdlib>
#include <string>

#include "sing/backend/runtime.h"

namespace sing::backend {
namespace {

std::string detect_isa() {
  std::string best = "base";
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2) best = "avx2";
  if (avx512) best = "avx512";
  if (const char* wanted = std::getenv("SING_CPU_ISA")) {
    const std::string text = wanted;
    if (text == "base" || (text == "avx2" && avx2)) best = text;
  }
#endif
  return best;
}

bool detect_bf16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) && (d & (1u << 24)))
    return true;  // AMX-BF16 and AMX-TILE
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) return (a & (1u << 5)) != 0;  // AVX512_BF16
#endif
  return false;
}

}  // namespace

const std::string& cpu_isa() {
  static const std::string isa = detect_isa();
  return isa;
}

bool cpu_has_bf16() {
  static const bool has = cpu_isa() == "avx512" && detect_bf16();
  return has;
}

}  // namespace sing::backend
