#include "sing/backend/plugin.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <system_error>

#include "backend/plugin_loader.h"
#include "sing/core/device.h"

#if defined(SING_BUILTIN_CUDA)
extern "C" const SingBackendTable* sing_builtin_cuda_entry(uint32_t host_abi);
#endif

namespace sing::backend {
namespace {

namespace fs = std::filesystem;
using Entry = const SingBackendTable* (*)(uint32_t);

// A plugin brings the shared libsing with it; beside a static one that would be a second set of
// slots and registries.
#if defined(SING_STATIC_LIBRARY)
constexpr bool kStatic = true;
#else
constexpr bool kStatic = false;
#endif

/// The folder of the library (or, in a static build, the program) this function is in.
fs::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&open_plugin), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  const fs::path file = fs::canonical(info.dli_fname, ignored);
  return file.parent_path();
}

fs::path folder_beside_executable() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return {};
  return (program.parent_path() / ".." / "lib").lexically_normal();
}

std::string file_name(DeviceType device) {
  return std::string("libsing_") + name_of(device) + ".so";
}

/// Whether the driver of a device is there. Asked before its backend is opened, which brings
/// libraries of hundreds of MiB with it: a machine without a GPU is not to pay for them.
bool has_driver(DeviceType device) {
  return device != DeviceType::cuda || dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr;
}

/// What a table of this size offers; fields a smaller one lacks must not be read.
bool holds_all(const SingBackendTable& table) {
  return table.size >= offsetof(SingBackendTable, add) + sizeof(table.add) && table.probe &&
         table.add;
}

/// Empty, or what is wrong with the file.
std::string fault_of(const SingBackendTable* table) {
  const std::string host = std::to_string(kBackendAbi);
  if (!table) return "was built for another backend ABI than " + host;
  if (table->abi != kBackendAbi)
    return "was built for backend ABI " + std::to_string(table->abi) + ", this SING has " + host;
  if (!holds_all(*table)) return "has an incomplete table";
  return {};
}

/// Probes a backend and fills the slots. `who` begins a sentence about its file.
Plugin adopt(DeviceType device, const SingBackendTable* table, const std::string& who) {
  Plugin plugin;
  const auto refuse = [&](const std::string& sentence) {
    plugin.state.reason = sentence;
    return plugin;
  };
  if (const std::string fault = fault_of(table); !fault.empty()) return refuse(who + " " + fault);
  // What the backend itself says is about the machine and stands alone.
  if (const char* sentence = table->probe()) return refuse(sentence);
  Registrar registrar(device);
  if (const char* sentence = table->add(&registrar)) return refuse(sentence);
  if (!registrar.collected_runtime()) return refuse(who + " registered no runtime");
  registrar.commit();
  plugin.state.usable = true;
  plugin.runtime = registrar.collected_runtime();
  return plugin;
}

/// The entry of a backend that is linked into libsing, or null.
Entry builtin_entry([[maybe_unused]] DeviceType device) {
#if defined(SING_BUILTIN_CUDA)
  if (device == DeviceType::cuda) return &sing_builtin_cuda_entry;
#endif
  return nullptr;
}

}  // namespace

Plugin open_plugin(DeviceType device, const fs::path& library) {
  Plugin refused;
  refused.state.library = library.string();
  // RTLD_NOW: a symbol this SING lacks is a sentence now, not a crash in the middle of a run. Never
  // closed: kernels, error classes and the runtime live in it.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* error = dlerror();
    refused.state.reason =
        library.string() + " did not load: " + (error ? error : "no reason given");
    return refused;
  }
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "sing_backend_entry"));
  if (!entry) {
    refused.state.reason = library.string() + " is no SING backend: it has no sing_backend_entry";
    return refused;
  }
  Plugin plugin = adopt(device, entry(kBackendAbi), library.string());
  plugin.state.library = library.string();
  return plugin;
}

std::vector<fs::path> plugin_candidates(DeviceType device, const char* chosen) {
  const std::string name = file_name(device);
  std::error_code ignored;
  if (chosen && *chosen)
    return {fs::is_directory(chosen, ignored) ? fs::path(chosen) / name : fs::path(chosen)};
  std::vector<fs::path> candidates;
  for (const fs::path& folder : {own_folder(), folder_beside_executable()})
    if (!folder.empty() && (candidates.empty() || candidates.front() != folder / name))
      candidates.push_back(folder / name);
  return candidates;
}

Plugin find_plugin(DeviceType device) {
  Plugin none;
  const char* chosen = std::getenv("SING_BACKEND_PATH");
  const Entry builtin = builtin_entry(device);
  if (builtin && !(chosen && *chosen))
    return adopt(device, builtin(kBackendAbi), "the built-in backend");
  if (kStatic) {
    none.state.reason = "this program holds a static libsing, which cannot open backends";
    return none;
  }
  const auto candidates = plugin_candidates(device, chosen);
  std::string places;
  for (const fs::path& file : candidates) {
    std::error_code ignored;
    if (fs::exists(file, ignored)) {
      // Who names a backend gets that one; it may need no driver.
      if ((chosen && *chosen) || has_driver(device)) return open_plugin(device, file);
      none.state.library = file.string();
      none.state.reason = "no NVIDIA driver is installed";
      return none;
    }
    places += (places.empty() ? "" : " or ") + file.string();
  }
  none.state.reason =
      std::string("no ") + name_of(device) + " backend is installed (looked for " + places + ")";
  return none;
}

}  // namespace sing::backend
