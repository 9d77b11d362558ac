// Functions of the device may be off by some units in the last place where those of the host are
// nearly exact. SING_EMULATOR_MATH=up, down or any moves each result by as much as CUDA allows (in
// the CUDA C++ Programming Guide, "Mathematical Functions"), so that a tolerance without room for
// it shows here. The linker sends calls of the plugin through these functions (CMakeLists.txt).
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "cuda/emulator/emulator.h"

namespace sing::emulator {
namespace {

enum class Direction { none, up, down, any };
Direction g_direction = Direction::none;

template <class T>
T off_by_ulps(T exact, int ulps) {
  // 0, 1 and -1 are values the device's functions take exactly at their special arguments.
  if (g_direction == Direction::none || !std::isfinite(exact) || exact == 0 || std::abs(exact) == 1)
    return exact;
  bool up = g_direction == Direction::up;
  if (g_direction == Direction::any) {
    uint32_t bits = 0;
    std::memcpy(&bits, &exact, sizeof bits);
    up = (bits * 0x9E3779B9u) >> 31 != 0;
  }
  if (ulps > 256)  // as a part of the number; a unit is half of that or all of it
    return exact * (1 + (up ? 1 : -1) * T(ulps) * std::numeric_limits<T>::epsilon() / 2);
  for (int i = 0; i < ulps; ++i) exact = std::nextafter(exact, up ? T(INFINITY) : T(-INFINITY));
  return exact;
}

}  // namespace

DeviceMath::DeviceMath() {
  const char* text = std::getenv("SING_EMULATOR_MATH");
  const std::string way = text ? text : "";
  g_direction = way.empty()     ? Direction::none
                : way == "up"   ? Direction::up
                : way == "down" ? Direction::down
                                : Direction::any;
}
DeviceMath::~DeviceMath() {
  g_direction = Direction::none;
}

float off(float exact, int ulps) {
  return off_by_ulps(exact, ulps);
}
double off(double exact, int ulps) {
  return off_by_ulps(exact, ulps);
}

}  // namespace sing::emulator

#define SING_OFF_1(NAME, T, ULPS)                       \
  extern "C" T __real_##NAME(T x);                      \
  extern "C" T __wrap_##NAME(T x);                      \
  T __wrap_##NAME(T x) {                                \
    return sing::emulator::off(__real_##NAME(x), ULPS); \
  }
#define SING_OFF_2(NAME, T, ULPS)                          \
  extern "C" T __real_##NAME(T x, T y);                    \
  extern "C" T __wrap_##NAME(T x, T y);                    \
  T __wrap_##NAME(T x, T y) {                              \
    return sing::emulator::off(__real_##NAME(x, y), ULPS); \
  }
SING_OFF_1(expf, float, 2)
SING_OFF_1(exp2f, float, 2)
SING_OFF_1(logf, float, 1)
SING_OFF_1(log2f, float, 1)
SING_OFF_1(log1pf, float, 1)
SING_OFF_1(sinf, float, 2)
SING_OFF_1(cosf, float, 2)
SING_OFF_1(erff, float, 2)
SING_OFF_1(erfcf, float, 4)
SING_OFF_1(tanhf, float, 2)
SING_OFF_2(powf, float, 4)
SING_OFF_1(exp, double, 1)
SING_OFF_1(log, double, 1)
SING_OFF_1(log1p, double, 1)
SING_OFF_1(erf, double, 2)
SING_OFF_2(pow, double, 2)
