#include "sing/backend/rehearsal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <thread>

#include "kernels/memory.h"
#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"

namespace sing::backend {
namespace {

/// Bytes that are given back at the end of the scope.
class Block {
 public:
  explicit Block(size_t bytes) : data(runtime({}).allocate(bytes, {})), bytes_(bytes) {}
  ~Block() { runtime({}).release(data, bytes_, {}); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void* const data;

 private:
  size_t bytes_;
};

int64_t resident_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(Rehearsal, CountsAsTheArenaWouldWithoutItsMemory) {
  const MemoryStatistics before = runtime({}).memory();
  const int64_t resident = resident_kib();
  constexpr size_t kBytes = (size_t{1} << 40) + 1;
  {
    const Rehearsal rehearsal;
    EXPECT_EQ(runtime({}).memory().in_use, 0);
    {
      const Block block(kBytes);
      EXPECT_EQ(runtime({}).memory().in_use, static_cast<int64_t>(runtime({}).granted(kBytes)));
      runtime({}).fill_zero(block.data, kBytes, {});
      const Block copy(kBytes);
      runtime({}).copy(copy.data, block.data, kBytes, CopyKind::host_to_host, {});
    }
    EXPECT_EQ(runtime({}).memory().in_use, 0);
    EXPECT_EQ(runtime({}).memory().peak, 2 * static_cast<int64_t>(runtime({}).granted(kBytes)));
    // Released blocks wait for their size to come again.
    EXPECT_EQ(runtime({}).memory().reserved, runtime({}).memory().peak);
    const Block again(kBytes);
    EXPECT_EQ(runtime({}).memory().reserved, runtime({}).memory().peak);
    runtime({}).reset_peak();
    EXPECT_EQ(runtime({}).memory().peak, static_cast<int64_t>(runtime({}).granted(kBytes)));
  }
  EXPECT_EQ(runtime({}).memory().reserved, before.reserved);
  EXPECT_EQ(runtime({}).memory().allocations, before.allocations);
  EXPECT_LT(resident_kib(), resident + 4096);
}

TEST(Rehearsal, KernelsRestAndReturn) {
  const auto fill = [](double value, float& to) {
    kernels::fill(DeviceType::cpu, {&to, DType::f32, 1, value, {}});
  };
  float value = 0;
  fill(1, value);
  EXPECT_EQ(value, 1);
  const int64_t calls = kernels::fill.calls();
  {
    const Rehearsal rehearsal;
    EXPECT_EQ(kernel_path(), KernelPath::none);
    fill(2, value);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(kernels::fill.calls(), calls);
  }
  EXPECT_EQ(kernel_path(), KernelPath::automatic);
  fill(3, value);
  EXPECT_EQ(value, 3);
}

TEST(Rehearsal, OldBlocksAndOtherThreadsKeepTheirArena) {
  auto old = std::make_unique<Block>(1000);
  const int64_t before = runtime({}).memory().in_use;
  {
    const Rehearsal rehearsal;
    std::thread([] {
      EXPECT_EQ(kernel_path(), KernelPath::automatic);
      const Block block(size_t{1} << 16);
      static_cast<char*>(block.data)[0] = 1;
      EXPECT_GT(runtime({}).memory().in_use, 0);
    }).join();
    old.reset();
    EXPECT_EQ(runtime({}).memory().in_use, 0);
    // A rehearsed block may be released by another thread.
    void* block = runtime({}).allocate(1000, {});
    std::thread([block] { runtime({}).release(block, 1000, {}); }).join();
    EXPECT_EQ(runtime({}).memory().in_use, 0);
  }
  EXPECT_EQ(runtime({}).memory().in_use, before - 1024);
}

TEST(Rehearsal, TheLimitOfTheMachineDoesNotBindIt) {
  limit_cpu_memory(runtime({}).memory().reserved + (1 << 16));
  {
    const Rehearsal rehearsal;
    EXPECT_NO_THROW(Block(size_t{1} << 30));
  }
  limit_cpu_memory(0);
}

}  // namespace
}  // namespace sing::backend
