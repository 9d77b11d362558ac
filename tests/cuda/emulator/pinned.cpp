// Pinned host memory. While a queued copy reads it the host may not write to it, and while one
// writes to it the host may not look: until it has waited for the copy. The pages say so.
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"

namespace sing::emulator {
namespace {

constexpr size_t kPage = 4096;

struct Pinned {
  size_t length;
  int readers = 0, writers = 0;  // copies that nobody has waited for
  int protection() const {
    return writers > 0 ? PROT_NONE : readers > 0 ? PROT_READ : PROT_READ | PROT_WRITE;
  }
};
std::map<char*, Pinned>& blocks() {
  static auto* all = new std::map<char*, Pinned>;
  return *all;
}

void protect(char* at, const Pinned& block, int protection) {
  if (mprotect(at, block.length, protection) != 0) fail("pinned memory cannot be protected");
}

}  // namespace

std::optional<PinnedUse> pinned_use(const void* address, bool written) {
  char* const at = static_cast<char*>(const_cast<void*>(address));
  auto it = blocks().upper_bound(at);
  if (it == blocks().begin()) return std::nullopt;
  --it;
  if (at >= it->first + it->second.length) return std::nullopt;
  return PinnedUse{it->first, written};
}

void begin_use(const PinnedUse& use) {
  Pinned& block = blocks().at(use.block);
  ++(use.written ? block.writers : block.readers);
  protect(use.block, block, block.protection());
}
void end_use(const PinnedUse& use) {
  Pinned& block = blocks().at(use.block);
  --(use.written ? block.writers : block.readers);
  protect(use.block, block, block.protection());
}

PinnedAccess::PinnedAccess(const std::vector<PinnedUse>& uses) : uses_(uses) {
  for (const PinnedUse& use : uses_)
    protect(use.block, blocks().at(use.block), PROT_READ | PROT_WRITE);
}
PinnedAccess::~PinnedAccess() {
  for (const PinnedUse& use : uses_) {
    const Pinned& block = blocks().at(use.block);
    protect(use.block, block, block.protection());
  }
}

const char* broken_rule_of_pinned(const void* address) {
  const auto use = pinned_use(address, false);
  if (!use) return nullptr;
  return blocks().at(use->block).writers > 0
             ? "emulator: the host touched pinned memory before it had waited for a copy into it\n"
             : "emulator: the host wrote to pinned memory that a queued copy may have yet to "
               "read\n";
}

}  // namespace sing::emulator

using namespace sing::emulator;

cudaError_t cudaHostAlloc(void** result, size_t bytes, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  if (const cudaError_t error = dead()) return error;
  if (memory_is_frozen()) return cudaErrorStreamCaptureUnsupported;
  watch_faults();
  const size_t length = (bytes + kPage - 1) / kPage * kPage;
  void* pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == 0 || pages == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::memset(pages, dry() ? 0 : 0xff, length);
  blocks()[static_cast<char*>(pages)] = {length};
  *result = pages;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  const std::lock_guard lock(runtime_mutex());
  const auto it = blocks().find(static_cast<char*>(pointer));
  if (it == blocks().end()) return cudaErrorInvalidValue;
  if (dead() == cudaSuccess && (it->second.readers > 0 || it->second.writers > 0))
    fail("pinned memory is given back, and nobody has waited for a copy that uses it");
  if (dead() == cudaSuccess) {
    munmap(pointer, it->second.length);
    blocks().erase(it);
  }
  return dead();
}
