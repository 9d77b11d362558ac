// Shared memory. `__shared__` variables are thread_local, nothing else of a backend is, so they are
// the module's block of such variables; dynamic shared memory ends at a guard page.
#include <link.h>
#include <sys/mman.h>

#include <cstring>

#include "cuda/emulator/emulator.h"

namespace sing::emulator {
namespace {

constexpr size_t kDynamic = size_t{256} << 10;
constexpr size_t kPage = 4096;

char* dynamic_region() {
  static char* const region = [] {
    void* pages = mmap(nullptr, kDynamic + kPage, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, kDynamic, PROT_READ | PROT_WRITE) != 0)
      fail("no memory for a block's shared memory");
    return static_cast<char*>(pages);
  }();
  return region;
}

#if !defined(__SANITIZE_ADDRESS__)
thread_local volatile char g_anchor;

struct ModuleBlock {
  std::ptrdiff_t anchor = 0;  // where in it g_anchor lies
  size_t size = 0, initialised = 0;
};

int find_module(dl_phdr_info* info, size_t, void* result) {
  const auto address = reinterpret_cast<uintptr_t>(&find_module);
  bool ours = false;
  const ElfW(Phdr)* block = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type == PT_TLS) block = &part;
    if (part.p_type == PT_LOAD && address - info->dlpi_addr - part.p_vaddr < part.p_memsz)
      ours = true;
  }
  if (!ours) return 0;
  if (block && info->dlpi_tls_data) {
    auto& found = *static_cast<ModuleBlock*>(result);
    found.anchor = const_cast<char*>(&g_anchor) - static_cast<char*>(info->dlpi_tls_data);
    found.size = block->p_memsz;
    found.initialised = block->p_filesz;
  }
  return 1;
}

void poison_static() {
  g_anchor = 0;  // makes this thread's block, which the loader puts off until it is wanted
  static const ModuleBlock block = [] {
    ModuleBlock found;
    dl_iterate_phdr(&find_module, &found);
    if (found.initialised > 0) fail("a variable of the backend is thread_local: see README.md");
    return found;
  }();
  std::memset(const_cast<char*>(&g_anchor) - block.anchor, 0xff, block.size);
}
#else
void poison_static() {}
#endif

}  // namespace

void* shared_memory(size_t bytes) {
  return dynamic_region() + kDynamic - (bytes + 15) / 16 * 16;
}

bool in_shared_guard(const void* address) {
  const char* guard = dynamic_region() + kDynamic;
  return address >= guard && address < guard + kPage;
}

void poison_shared(size_t dynamic, bool all_of_it) {
  std::memset(shared_memory(dynamic), 0xff, (dynamic + 15) / 16 * 16);
  if (all_of_it) poison_static();
}

}  // namespace sing::emulator
