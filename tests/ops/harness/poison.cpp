// A CPU runtime for these tests: fresh memory is NaN (or true, or -1), and each block has a fence
// behind it that must still stand when the block is released.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <mutex>
#include <unordered_set>

#include "sing/backend/runtime.h"

namespace sing::test {
namespace {

constexpr size_t kFence = 256;
constexpr unsigned char kFenceByte = 0xA5;

class PoisonRuntime final : public backend::DeviceRuntime {
 public:
  explicit PoisonRuntime(backend::DeviceRuntime& inner) : inner_(inner) {}

  void* allocate(size_t bytes, Stream stream) override {
    auto* memory = static_cast<unsigned char*>(inner_.allocate(bytes + kFence, stream));
    std::memset(memory, 0xFF, bytes);  // NaN in every floating format
    std::memset(memory + bytes, kFenceByte, kFence);
    const std::lock_guard lock(mutex_);
    ours_.insert(memory);
    return memory;
  }
  void release(void* memory, size_t bytes, Stream stream) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (ours_.erase(memory) == 0) return inner_.release(memory, bytes, stream);
    }
    const auto* fence = static_cast<unsigned char*>(memory) + bytes;
    for (size_t i = 0; i < kFence; ++i)
      if (fence[i] != kFenceByte) {
        ADD_FAILURE() << "a kernel wrote behind a block of " << bytes << " bytes";
        break;
      }
    inner_.release(memory, bytes + kFence, stream);
  }
  void copy(void* to, const void* from, size_t bytes, backend::CopyKind kind,
            Stream stream) override {
    inner_.copy(to, from, bytes, kind, stream);
  }
  void fill_zero(void* to, size_t bytes, Stream stream) override {
    inner_.fill_zero(to, bytes, stream);
  }
  Stream stream(int index) override { return inner_.stream(index); }
  void synchronize(Stream stream) override { inner_.synchronize(stream); }
  backend::MemoryStatistics memory() const override { return inner_.memory(); }
  void reset_peak() override { inner_.reset_peak(); }
  std::string description() const override { return inner_.description(); }
  size_t granted(size_t bytes) const override { return inner_.granted(bytes + kFence); }

 private:
  backend::DeviceRuntime& inner_;
  std::mutex mutex_;
  std::unordered_set<void*> ours_;
};

class PoisonEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override {
    // Never destroyed: it must outlive the last tensor.
    static auto* runtime = new PoisonRuntime(backend::runtime(Device{}));
    backend::register_runtime(DeviceType::cpu, runtime);
  }
};

[[maybe_unused]] const auto* const environment =
    ::testing::AddGlobalTestEnvironment(new PoisonEnvironment);

}  // namespace
}  // namespace sing::test
