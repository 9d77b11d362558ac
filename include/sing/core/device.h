#pragma once
#include <cstdint>
#include <string>

#include "sing/core/export.h"

namespace sing {

enum class DeviceType : uint8_t { cpu, cuda };
inline constexpr int kDeviceTypes = 2;

struct Device {
  DeviceType type = DeviceType::cpu;
  int16_t index = 0;
  friend bool operator==(Device, Device) = default;
};

/// An ordered queue of work on a device; opaque outside its backend. The CPU has the null stream.
struct Stream {
  void* handle = nullptr;
};

/// "cpu", "cuda:0".
SING_API std::string to_string(Device device);
SING_API const char* name_of(DeviceType type);

}  // namespace sing
