// The threads of a block as fibres: one runs until it meets a barrier or a shuffle, then the next.
// Threads and blocks run in an order drawn for each launch from SING_EMULATOR_SEED, so that a
// missing barrier and a sum that depends on an order show.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/fibres.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace sing::emulator {
namespace {

constexpr int kWarpSize = 32;

enum class State : uint8_t { fresh, ready, at_barrier, in_warp, done };

struct Thread {
  State state;
  Fibre* fibre;
  uint3 index;
  Place place;  // of the barrier it waits at
};
/// A meeting of the lanes of `mask`. Taken again when all have read what the others brought.
struct Exchange {
  unsigned mask = 0, arrived = 0, readers = 0;
  unsigned char values[kWarpSize][16];
};
using Warp = std::deque<Exchange>;

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<size_t> order;
  void* shared = nullptr;
  const std::function<void()>* body = nullptr;
  size_t next = 0;  // in `order`: the first thread that has not begun
  size_t running = 0;
  size_t alive = 0, at_barrier = 0;
};
Block g_block;
std::vector<std::unique_ptr<Fibre>> g_fibres;
std::vector<Fibre*> g_idle;
Fibre* g_current = nullptr;

std::string text_of(const Place& place) {
  const std::string file = place.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(place.line());
}

void resume(size_t t) {
  Thread& thread = g_block.threads[t];
  g_block.running = t;
  threadIdx = thread.index;
  g_current = thread.fibre;
  thread.fibre->enter();
}

/// A fibre runs one thread after the other until one of them has to wait.
void fibre_main() {
  g_current->entered();
  for (;;) {
    while (g_block.next < g_block.order.size()) {
      const size_t t = g_block.order[g_block.next++];
      Thread& thread = g_block.threads[t];
      thread.state = State::ready;
      thread.fibre = g_current;
      g_block.running = t;
      threadIdx = thread.index;
      (*g_block.body)();
      if (g_block.running != t) fail("a fibre came back as another thread");
      thread.state = State::done;
      --g_block.alive;
    }
    g_idle.push_back(g_current);
    g_current->leave();
  }
}

/// The calling thread waits; comes back when it is ready again.
void wait(State state) {
  Thread& thread = g_block.threads[g_block.running];
  thread.state = state;
  thread.fibre->leave();
}

Fibre* idle_fibre() {
  if (g_idle.empty()) {
    g_fibres.push_back(std::make_unique<Fibre>(&fibre_main));
    return g_fibres.back().get();
  }
  Fibre* fibre = g_idle.back();
  g_idle.pop_back();
  return fibre;
}

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

/// Lets the threads go on when all have come, to one and the same barrier.
void release_barrier() {
  if (g_block.at_barrier == 0 || g_block.at_barrier < g_block.alive) return;
  const Place* first = nullptr;
  for (Thread& thread : g_block.threads) {
    if (thread.state != State::at_barrier) continue;
    if (!first) first = &thread.place;
    if (!same(*first, thread.place))
      fail(("threads of a block meet at different barriers, " + text_of(*first) + " and " +
            text_of(thread.place))
               .c_str());
    thread.state = State::ready;
  }
  if (g_block.alive < g_block.threads.size())
    fail(("threads have ended that others wait for at the barrier of " + text_of(*first)).c_str());
  g_block.at_barrier = 0;
}

/// 0: threads and blocks in ascending order, always.
uint64_t key_of_launch() {
  static uint64_t launches = 0;
  return seed() == 0 ? 0 : mix(mix(seed()) + ++launches) | 1;
}

void shuffle_order(uint64_t key) {
  for (size_t i = 0; i < g_block.order.size(); ++i) g_block.order[i] = i;
  if (key == 0) return;
  for (size_t i = g_block.order.size(); i > 1; --i)
    std::swap(g_block.order[i - 1], g_block.order[mix(key + i) % i]);
}

[[noreturn]] void fail_waiting() {
  for (const Warp& warp : g_block.warps)
    if (std::ranges::count_if(warp, [](const Exchange& e) { return e.arrived != 0; }) > 1)
      fail("lanes of one warp wait for each other with different masks");
  fail("threads wait for others that have ended or wait elsewhere");
}

void run_block() {
  g_block.next = 0;
  g_block.alive = g_block.threads.size();
  g_block.at_barrier = 0;
  while (g_block.alive > 0) {
    if (g_block.next < g_block.order.size()) {
      g_current = idle_fibre();
      g_current->enter();
      release_barrier();
      continue;
    }
    bool moved = false;
    for (const size_t t : g_block.order) {
      if (g_block.threads[t].state != State::ready) continue;
      moved = true;
      resume(t);
      release_barrier();
    }
    if (!moved) fail_waiting();
  }
}

/// Lanes of `mask` that the block has.
unsigned present(unsigned mask, size_t first) {
  const size_t lanes = g_block.threads.size() - first;
  return lanes < kWarpSize ? mask & ((1u << lanes) - 1) : mask;
}

/// The place in `warp` where the lanes of `mask` meet.
size_t meeting(Warp& warp, unsigned mask) {
  size_t free = warp.size();
  for (size_t i = 0; i < warp.size(); ++i) {
    if (warp[i].arrived != 0) {
      if (warp[i].mask == mask) return i;
    } else if (warp[i].readers == 0) {
      free = i;
    }
  }
  if (free == warp.size()) warp.emplace_back();
  warp[free].mask = mask;
  return free;
}

}  // namespace

uint64_t seed() {
  const char* text = std::getenv("SING_EMULATOR_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void fail(const char* what) {
  const char* op = op_of_work();
  std::fprintf(stderr, "emulator: %s (block %u %u %u, thread %u %u %u%s%s)\n", what, blockIdx.x,
               blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, op ? ", op " : "",
               op ? op : "");
  std::abort();
}

void run_kernel(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body) {
  const size_t count = size_t{threads.x} * threads.y * threads.z;
  if (count == 0 || count > 1024 || threads.z > 64 || blocks.x == 0 || blocks.y == 0 ||
      blocks.z == 0 || blocks.x > 0x7fffffffu || blocks.y > 65535 || blocks.z > 65535 ||
      shared > (size_t{227} << 10))
    fail("a launch that no device accepts");
  g_block.body = &body;
  g_block.threads.resize(count);
  g_block.order.resize(count);
  g_block.warps.resize((count + kWarpSize - 1) / kWarpSize);
  for (Warp& warp : g_block.warps) warp.clear();
  g_block.shared = shared_memory(shared);
  blockDim = threads;
  gridDim = blocks;
  const uint64_t key = key_of_launch();
  shuffle_order(key);
  const DeviceMath math;
  const uint64_t total = uint64_t{blocks.x} * blocks.y * blocks.z;
  for (uint64_t turn = 0; turn < total; ++turn) {
    const uint64_t b = (key & 2) == 0 ? turn : total - 1 - turn;
    blockIdx = {static_cast<unsigned>(b % blocks.x), static_cast<unsigned>(b / blocks.x % blocks.y),
                static_cast<unsigned>(b / blocks.x / blocks.y)};
    // Each block the other way round: of any two threads each is once the first.
    if (key != 0 && turn > 0) std::ranges::reverse(g_block.order);
    unsigned i = 0;
    for (Thread& thread : g_block.threads) {
      thread = {State::fresh,
                nullptr,
                {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y},
                {}};
      ++i;
    }
    poison_shared(shared, turn == 0 || turn + 1 == total);
    run_block();
  }
}

bool in_stack_guard(const void* address) {
  return std::ranges::any_of(g_fibres, [&](const auto& fibre) { return fibre->guards(address); });
}

void* dynamic_shared() {
  return g_block.shared;
}

int lane() {
  return static_cast<int>(g_block.running % kWarpSize);
}

void block_barrier(const Place& place) {
  g_block.threads[g_block.running].place = place;
  ++g_block.at_barrier;
  wait(State::at_barrier);
}

const unsigned char* warp_exchange(unsigned mask, const void* value, size_t size, int source) {
  const size_t t = g_block.running, first = t / kWarpSize * kWarpSize;
  const unsigned bit = 1u << (t % kWarpSize), wanted = present(mask, first);
  if ((mask & bit) == 0) fail("a lane calls with a mask that leaves it out");
  if (source >= 0 && (wanted >> source & 1) == 0) fail("a shuffle reads a lane that takes no part");
  Warp& warp = g_block.warps[t / kWarpSize];
  Exchange& exchange = warp[meeting(warp, mask)];
  if (exchange.arrived == 0 && wanted != mask)  // lanes the block does not have bring zero
    std::memset(exchange.values, 0, sizeof exchange.values);
  std::memcpy(exchange.values[t % kWarpSize], value, size);
  exchange.arrived |= bit;
  if (exchange.arrived != wanted) {
    wait(State::in_warp);
  } else {
    exchange.arrived = 0;
    exchange.readers = static_cast<unsigned>(__builtin_popcount(wanted));
    for (size_t i = first; i < std::min(first + kWarpSize, g_block.threads.size()); ++i)
      if (i != t && (wanted >> (i - first) & 1) != 0) g_block.threads[i].state = State::ready;
  }
  --exchange.readers;
  return &exchange.values[0][0];
}

}  // namespace sing::emulator

unsigned __ballot_sync(unsigned mask, bool predicate) {
  const unsigned char* table =
      sing::emulator::warp_exchange(mask, &predicate, sizeof predicate, -1);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i)
    if ((mask >> i & 1) != 0 && table[16 * i] != 0) result |= 1u << i;
  return result;
}
