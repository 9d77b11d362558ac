// "Device" memory: a reserved range of addresses that the host cannot touch outside of kernels and
// copies. Each allocation ends at a page nobody may touch, and addresses are never used again.
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/trace.h"

namespace sing::emulator {
namespace {

constexpr size_t kReserved = size_t{4} << 40;  // addresses, not memory
constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;
constexpr size_t kWindow = size_t{64} << 10;  // what one fault opens

std::recursive_mutex g_mutex;
int g_access = 0;
pthread_t g_owner;  // of g_access

struct Block {
  size_t length, bytes;
  bool freed = false;  // work queued before may still use it
  /// From the first page of the block.
  size_t offset() const { return (length - bytes) / kAlignment * kAlignment; }
  /// Bytes asked for among the `count` behind `start`.
  size_t within(size_t start, size_t count) const {
    const size_t first = std::max(start, offset()),
                 last = std::min(start + count, offset() + bytes);
    return last > first ? last - first : 0;
  }
};

struct Memory {
  char* base = nullptr;
  size_t used = size_t{1} << 20, allocated = 0;  // nobody owns the first addresses
  std::map<char*, Block> blocks;                 // by their first page
  struct Window {
    char* start;
    size_t length;
  };
  std::vector<Window> open;

  Memory() {
    base = static_cast<char*>(
        mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base == MAP_FAILED) fail("no addresses for the device's memory");
    open.reserve(1024);
  }
  bool holds(const void* address) const { return address >= base && address < base + kReserved; }
  /// Opens a piece of the block around `address` to kernels, where there is one; while launches are
  /// taken down a page, and that for reading until it is written to.
  bool open_at(char* address, bool writes) {
    auto it = blocks.upper_bound(address);
    if (it == blocks.begin()) return false;
    --it;
    const auto at = static_cast<size_t>(address - it->first);
    if (at >= it->second.length) return false;
    const size_t size = tracing() ? kPage : kWindow, start = at / size * size;
    const Window window{it->first + start, std::min(size, it->second.length - start)};
    const int allowed = tracing() && !writes ? PROT_READ : PROT_READ | PROT_WRITE;
    if (mprotect(window.start, window.length, allowed) != 0) return false;
    if (tracing()) touched(it->second.within(start, window.length), writes);
    open.push_back(window);
    return true;
  }
  void close_all() {
    for (const Window& window : open) mprotect(window.start, window.length, PROT_NONE);
    open.clear();
  }
};
Memory& memory() {
  static Memory* instance = new Memory;
  return *instance;
}

struct sigaction g_before, g_before_traps;

void say(const char* text) {
  [[maybe_unused]] const auto written = write(2, text, std::strlen(text));
}

/// A kernel opens what it touches as it goes: most launches touch few of many.
void on_fault(int signal, siginfo_t* info, void* context) {
  char* address = static_cast<char*>(info->si_addr);
  const bool in_kernel = g_access > 0 && pthread_equal(pthread_self(), g_owner);
  if (memory().holds(address)) {
    constexpr greg_t kWrites = 2;  // of the error code of a page fault
    const bool writes =
        (static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & kWrites) != 0;
    if (in_kernel && memory().open_at(address, writes)) return;
    say(in_kernel ? "emulator: a kernel or copy left its device memory\n"
                  : "emulator: the host touched device memory\n");
  } else if (in_kernel && in_stack_guard(address)) {
    say("emulator: a thread of a kernel has used up its stack\n");
  } else if (in_kernel && in_shared_guard(address)) {
    say("emulator: a kernel left its dynamic shared memory\n");
  } else if (const char* rule = broken_rule_of_pinned(address)) {
    say(rule);
  }
  sigaction(signal, &g_before, nullptr);  // who meets the same fault again
}

/// Where a kernel was compiled with -fsanitize=bounds.
void on_trap(int signal, siginfo_t*, void*) {
  if (g_access > 0 && pthread_equal(pthread_self(), g_owner))
    say("emulator: an index of a kernel left its array, in shared or local memory\n");
  sigaction(signal, &g_before_traps, nullptr);
}

/// Faults must be told of when a stack is used up, too.
void have_signal_stack() {
  constexpr size_t kSize = size_t{64} << 10;
  stack_t stack{};
  if (sigaltstack(nullptr, &stack) != 0 || (stack.ss_flags & SS_DISABLE) == 0) return;
  stack = {};
  stack.ss_sp = std::malloc(kSize);  // as long as its thread, which nobody tells us the end of
  stack.ss_size = kSize;
  if (stack.ss_sp) sigaltstack(&stack, nullptr);
}

/// The bytes of a block's pages around what was asked for still hold what cudaMalloc put there.
bool margins_untouched(const char* pages, const Block& block) {
  const auto* p = reinterpret_cast<const unsigned char*>(pages);
  for (size_t i = 0; i < block.offset(); ++i)
    if (p[i] != 0xff) return false;
  for (size_t i = block.offset() + block.bytes; i < block.length; ++i)
    if (p[i] != 0xff) return false;
  return true;
}

void unmap(char* pages) {
  const DeviceAccess access;
  Memory& m = memory();
  const auto it = m.blocks.find(pages);
  if (!dry() && !margins_untouched(pages, it->second))
    fail("a kernel or copy wrote beside its device memory, found when that was given back");
  mmap(pages, it->second.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
       -1, 0);
  m.blocks.erase(it);
}

}  // namespace

bool is_device_memory(const void* address) {
  return memory().holds(address);
}

size_t device_memory() {
  const char* text = std::getenv("SING_EMULATOR_MEMORY");
  if (text) return static_cast<size_t>(std::atoll(text));
  return size_t{dry() ? 139u : 2u} << 30;
}

DeviceAccess::DeviceAccess() {
  g_mutex.lock();
  if (g_access++ > 0) return;
  g_owner = pthread_self();
  have_signal_stack();
}
DeviceAccess::~DeviceAccess() {
  if (--g_access == 0) memory().close_all();
  g_mutex.unlock();
}

void watch_faults() {
  static const bool watching = [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGSEGV, &action, &g_before) != 0) return false;
    action.sa_sigaction = on_trap;
    return sigaction(SIGILL, &action, &g_before_traps) == 0;
  }();
  if (!watching) fail("SIGSEGV and SIGILL cannot be watched");
}

}  // namespace sing::emulator

using namespace sing::emulator;

cudaError_t cudaMalloc(void** result, size_t bytes) {
  if (const cudaError_t error = dead()) return error;
  if (memory_is_frozen()) return cudaErrorStreamCaptureUnsupported;
  const std::lock_guard lock(g_mutex);
  watch_faults();
  Memory& m = memory();
  const size_t length = (bytes + kPage - 1) / kPage * kPage;
  if (m.allocated + length > device_memory() || m.used + length + kPage > kReserved)
    return cudaErrorMemoryAllocation;
  char* pages = m.base + m.used;
  m.used += length + kPage;
  m.allocated += length;
  const Block& block = m.blocks[pages] = {length, bytes};
  if (!dry()) {
    mprotect(pages, length, PROT_READ | PROT_WRITE);
    std::memset(pages, 0xff, length);  // NaN: fresh memory holds nothing
    mprotect(pages, length, PROT_NONE);
  }
  *result = pages + block.offset();
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (const cudaError_t error = dead()) return error;
  if (memory_is_frozen()) return cudaErrorStreamCaptureUnsupported;
  char* pages = static_cast<char*>(pointer) - reinterpret_cast<uintptr_t>(pointer) % kPage;
  {
    const std::lock_guard lock(g_mutex);
    Memory& m = memory();
    const auto it = m.blocks.find(pages);
    if (it == m.blocks.end() || it->second.freed || pages + it->second.offset() != pointer)
      return cudaErrorInvalidValue;
    it->second.freed = true;
    m.allocated -= it->second.length;
  }
  // The driver waits for the device here, and with that would hide who else should have waited.
  when_done([pages] { unmap(pages); });
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t error = dead()) return error;
  const std::lock_guard lock(g_mutex);
  *free = device_memory() - std::min(device_memory(), memory().allocated);
  *total = device_memory();
  return cudaSuccess;
}
