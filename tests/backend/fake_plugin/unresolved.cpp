#include "sing/backend/plugin.h"

extern "C" const char* driver_call_that_nobody_has() noexcept;

const SingBackendTable* sing_backend_entry(uint32_t) {
  static const SingBackendTable table = {sizeof(SingBackendTable), sing::backend::kBackendAbi,
                                         &driver_call_that_nobody_has, nullptr};
  return &table;
}
