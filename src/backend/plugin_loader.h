#pragma once
#include <filesystem>
#include <vector>

#include "sing/backend/plugin.h"

namespace sing::backend {

/// A plugin that was opened, or the sentence why not.
struct Plugin {
  BackendState state;
  DeviceRuntime* runtime = nullptr;  ///< set exactly when state.usable
};

/// Opens one library, checks its ABI, probes it and, when all went well, fills the slots.
SING_API Plugin open_plugin(DeviceType device, const std::filesystem::path& library);

/// Where the plugin of a device may lie, best first. `chosen` (SING_BACKEND_PATH; may be null or
/// empty) is the only place when it is given.
SING_API std::vector<std::filesystem::path> plugin_candidates(DeviceType device,
                                                              const char* chosen);

/// The whole search.
Plugin find_plugin(DeviceType device);

}  // namespace sing::backend
