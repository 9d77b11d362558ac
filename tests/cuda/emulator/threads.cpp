// The threads of a block as fibres: one runs until it meets a barrier or a shuffle, then the next.
// Their order is shuffled by SING_EMULATOR_SEED, so that a missing barrier shows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
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
  uint32_t exchanges;  // warp operations so far
};
struct Warp {
  unsigned char values[2][kWarpSize][16];
  unsigned arrived, mask;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> order;
  std::vector<unsigned char> shared;
  const std::function<void()>* body = nullptr;
  size_t next = 0;  // in `order`: the first thread that has not begun
  int running = -1;
  int alive = 0, at_barrier = 0;
};
Block g_block;
std::vector<std::unique_ptr<Fibre>> g_fibres;
std::vector<Fibre*> g_idle;
Fibre* g_current = nullptr;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "emulator: %s (block %u %u %u, thread %u %u %u)\n", what, blockIdx.x,
               blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  std::abort();
}

void resume(int t) {
  Thread& thread = g_block.threads[static_cast<size_t>(t)];
  g_block.running = t;
  threadIdx = thread.index;
  g_current = thread.fibre;
  thread.fibre->enter();
}

/// A fibre runs one thread after the other until one of them has to wait.
void fibre_main() {
  for (;;) {
    while (g_block.next < g_block.order.size()) {
      const int t = g_block.order[g_block.next++];
      Thread& thread = g_block.threads[static_cast<size_t>(t)];
      thread.state = State::ready;
      thread.fibre = g_current;
      g_block.running = t;
      threadIdx = thread.index;
      (*g_block.body)();
      g_block.threads[static_cast<size_t>(g_block.running)].state = State::done;
      --g_block.alive;
      if (g_block.running != t) fail("a fibre came back as another thread");
    }
    g_idle.push_back(g_current);
    g_current->leave();
  }
}

/// The calling thread waits; comes back when `state` is ready again.
void wait(State state) {
  Thread& thread = g_block.threads[static_cast<size_t>(g_block.running)];
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

void release_barrier() {
  if (g_block.at_barrier == 0 || g_block.at_barrier < g_block.alive) return;
  g_block.at_barrier = 0;
  for (Thread& thread : g_block.threads)
    if (thread.state == State::at_barrier) thread.state = State::ready;
}

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void shuffle_order(uint64_t seed) {
  for (size_t i = 0; i < g_block.order.size(); ++i) g_block.order[i] = static_cast<int>(i);
  if (seed == 0) return;
  for (size_t i = g_block.order.size(); i > 1; --i)
    std::swap(g_block.order[i - 1], g_block.order[mix(seed + i) % i]);
}

void run_block() {
  g_block.next = 0;
  g_block.alive = static_cast<int>(g_block.threads.size());
  g_block.at_barrier = 0;
  for (Warp& warp : g_block.warps) warp.arrived = 0;
  // Shared memory holds nothing at the start of a block.
  std::fill(g_block.shared.begin(), g_block.shared.end(), static_cast<unsigned char>(0xff));
  while (g_block.alive > 0) {
    if (g_block.next < g_block.order.size()) {
      g_current = idle_fibre();
      g_current->enter();
      release_barrier();
      continue;
    }
    bool moved = false;
    for (const int t : g_block.order) {
      if (g_block.threads[static_cast<size_t>(t)].state != State::ready) continue;
      moved = true;
      resume(t);
      release_barrier();
    }
    if (!moved) fail("threads wait for others that have ended or wait elsewhere");
  }
}

}  // namespace

void run_kernel(dim3 blocks, dim3 threads, size_t shared, const std::function<void()>& body) {
  static const uint64_t seed = [] {
    const char* text = std::getenv("SING_EMULATOR_SEED");
    return text ? std::strtoull(text, nullptr, 10) : 1;
  }();
  const size_t count = size_t{threads.x} * threads.y * threads.z;
  if (count == 0 || count > 1024 || blocks.x == 0 || blocks.y == 0 || blocks.z == 0 ||
      blocks.y > 65535 || blocks.z > 65535 || shared > (size_t{227} << 10))
    fail("a launch that no device accepts");
  g_block.body = &body;
  g_block.threads.resize(count);
  g_block.order.resize(count);
  g_block.warps.resize((count + kWarpSize - 1) / kWarpSize);
  g_block.shared.resize(shared + 16);
  blockDim = threads;
  gridDim = blocks;
  shuffle_order(seed);
  for (unsigned z = 0; z < blocks.z; ++z)
    for (unsigned y = 0; y < blocks.y; ++y)
      for (unsigned x = 0; x < blocks.x; ++x) {
        blockIdx = {x, y, z};
        unsigned i = 0;
        for (Thread& thread : g_block.threads) {
          thread = {State::fresh,
                    nullptr,
                    {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y},
                    0};
          ++i;
        }
        run_block();
      }
}

void* dynamic_shared() {
  const auto address = reinterpret_cast<uintptr_t>(g_block.shared.data());
  return reinterpret_cast<void*>((address + 15) / 16 * 16);
}

int lane() {
  return g_block.running % kWarpSize;
}

void block_barrier() {
  ++g_block.at_barrier;
  wait(State::at_barrier);
}

const unsigned char* warp_exchange(unsigned mask, const void* value, size_t size) {
  const int t = g_block.running;
  Thread& thread = g_block.threads[static_cast<size_t>(t)];
  Warp& warp = g_block.warps[static_cast<size_t>(t / kWarpSize)];
  const unsigned bit = 1u << (t % kWarpSize);
  if ((mask & bit) == 0) fail("a lane calls with a mask that leaves it out");
  if (warp.arrived == 0) warp.mask = mask;
  if (warp.mask != mask) fail("lanes of one warp meet with different masks");
  // Two tables in turn: a lane writes to the next one only after all have met here, and all have
  // read this one when they meet again.
  auto& table = warp.values[thread.exchanges++ % 2];
  std::memcpy(table[t % kWarpSize], value, size);
  warp.arrived |= bit;
  unsigned wanted = mask;
  const size_t first = static_cast<size_t>(t / kWarpSize) * kWarpSize;
  for (size_t i = 0; i < kWarpSize; ++i)
    if (first + i >= g_block.threads.size()) wanted &= ~(1u << i);
  if (warp.arrived != wanted) {
    wait(State::in_warp);
  } else {
    warp.arrived = 0;
    for (size_t i = first; i < std::min(first + kWarpSize, g_block.threads.size()); ++i)
      if (g_block.threads[i].state == State::in_warp) g_block.threads[i].state = State::ready;
  }
  return &table[0][0];
}

}  // namespace sing::emulator

unsigned __ballot_sync(unsigned mask, bool predicate) {
  const unsigned char* table = sing::emulator::warp_exchange(mask, &predicate, sizeof predicate);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i)
    if ((mask >> i & 1) != 0 && table[16 * i] != 0) result |= 1u << i;
  return result;
}
