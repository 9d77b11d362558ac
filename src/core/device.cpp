#include "sing/core/device.h"

namespace sing {

const char* name_of(DeviceType type) {
  return type == DeviceType::cpu ? "cpu" : "cuda";
}

std::string to_string(Device device) {
  if (device.type == DeviceType::cpu) return "cpu";
  return "cuda:" + std::to_string(device.index);
}

}  // namespace sing
