// A backend without a device: "cuda" memory is host memory and one kernel is filled in.
// SING_FAKE_PLUGIN says which of the ways to fail it takes.
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/memory.h"
#include "sing/backend/plugin.h"
#include "sing/core/error.h"

namespace {

using namespace sing;

bool mode_is(const char* mode) {
  const char* chosen = std::getenv("SING_FAKE_PLUGIN");
  return chosen && std::strcmp(chosen, mode) == 0;
}

class HostMemory final : public backend::DeviceRuntime {
 public:
  void* allocate(size_t bytes, Stream) override { return std::malloc(bytes + 1); }
  void release(void* memory, size_t, Stream) noexcept override { std::free(memory); }
  void copy(void* to, const void* from, size_t bytes, backend::CopyKind, Stream) override {
    std::memcpy(to, from, bytes);
  }
  void fill_zero(void* to, size_t bytes, Stream) override { std::memset(to, 0, bytes); }
  Stream stream(int) override { return {}; }
  void synchronize(Stream) override {}
  backend::MemoryStatistics memory() const override { return {}; }
  void reset_peak() override {}
  std::string description() const override { return "a device made of host memory"; }
};

/// Marks what it writes (value + 0.5), so that a test sees who filled; negative values fail.
void fill_marked(const kernels::FillArgs& args) {
  if (args.value < 0)
    throw OutOfMemoryError("fill: the fake device has no room for negative numbers", "fill", {},
                           "E0602");
  for (int64_t i = 0; i < args.n; ++i)
    static_cast<float*>(args.to)[i] = static_cast<float>(args.value + 0.5);
}

const char* probe() noexcept {
  return mode_is("no_device") ? "no fake driver on this machine" : nullptr;
}

const char* add(backend::Registrar* registrar) noexcept {
  registrar->kernel(kernels::fill, fill_marked);
  if (mode_is("add_fails")) return "the fake library is too old";
  static HostMemory memory;
  if (!mode_is("no_runtime")) registrar->runtime(&memory);
  return nullptr;
}

}  // namespace

const SingBackendTable* sing_backend_entry(uint32_t host_abi) {
  static SingBackendTable table;
  table = {sizeof(SingBackendTable), host_abi, &probe, &add};
  if (mode_is("refuses_abi")) return nullptr;
  if (mode_is("other_abi")) table.abi = host_abi + 7;
  if (mode_is("short_table")) table.size = sizeof(SingBackendTable) - sizeof(table.add);
  return &table;
}
