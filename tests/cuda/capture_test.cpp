// Marks in streams and captured work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/ops/dropout.h"
#include "sing/ops/unary.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

backend::DeviceRuntime& runtime() {
  return backend::runtime(kCuda);
}

TEST(CudaCapture, NothingIsDoneUntilTheLaunch) {
  Tensor x = Tensor::full({300}, 2, {.device = kCuda});
  Tensor y = Tensor::zeros({300}, {.device = kCuda});
  const auto replay = runtime().capture([&] { y.copy_from(ops::square(ops::square(x))); }, nullptr);
  EXPECT_GE(replay->nodes(), 3);
  EXPECT_EQ(y.to_vector()[299], 0);
  replay->launch();
  EXPECT_EQ(y.to_vector()[299], 16);
  x.fill(3);
  replay->launch();
  EXPECT_EQ(y.to_vector()[0], 81);
}

/// What was given back during a capture is written at every launch: nobody else may get it.
TEST(CudaCapture, MemoryOfTheGraphStaysItsOwn) {
  const Tensor x = Tensor::full({1000}, 2, {.device = kCuda});
  Tensor y = Tensor::zeros({1000}, {.device = kCuda});
  const int64_t before = runtime().memory().in_use;
  auto replay = runtime().capture([&] { y.copy_from(ops::square(ops::square(x))); }, nullptr);
  EXPECT_EQ(runtime().memory().in_use, before);
  std::vector<Tensor> others;
  for (int i = 0; i < 4; ++i) others.push_back(Tensor::full({1000}, 7, {.device = kCuda}));
  replay->launch();
  EXPECT_EQ(y.to_vector()[0], 16);
  for (const Tensor& other : others) EXPECT_EQ(other.to_vector()[999], 7);
  const int64_t reserved = runtime().memory().reserved;
  replay.reset();
  others.clear();
  EXPECT_LE(runtime().memory().reserved, reserved);
}

/// So is what a captured pass was the last to use, though it was there before.
TEST(CudaCapture, MemoryGivenBackInACaptureStaysToo) {
  Tensor x = Tensor::full({1000}, 2, {.device = kCuda});
  Tensor y = Tensor::zeros({1000}, {.device = kCuda});
  const auto replay = runtime().capture(
      [&] {
        y.copy_from(ops::square(x));
        x = {};
      },
      nullptr);
  std::vector<Tensor> others;
  for (int i = 0; i < 4; ++i) others.push_back(Tensor::full({1000}, 7, {.device = kCuda}));
  replay->launch();
  EXPECT_EQ(y.to_vector()[0], 4);
}

TEST(CudaCapture, WaitingInACaptureIsRefusedAndNamed) {
  const Tensor one = Tensor::full({}, 5, {.device = kCuda});
  try {
    runtime().capture(
        [&] {
          const backend::OpScope scope("peek");
          runtime().synchronize(runtime().stream(0));
        },
        nullptr);
    FAIL();
  } catch (const BackendError& error) {
    EXPECT_THAT(std::string(error.what()) + error.where(), ::testing::HasSubstr("peek"));
  }
  // The device is as before.
  EXPECT_EQ(ops::square(one).item(), 25);
  Tensor y = Tensor::zeros({}, {.device = kCuda});
  runtime().capture([&] { y.copy_from(ops::square(one)); }, nullptr)->launch();
  EXPECT_EQ(y.item(), 25);
}

TEST(CudaCapture, ReplaysReadTheEpochOfRandomNumbers) {
  const Tensor x = Tensor::full({256}, 1, {.device = kCuda});
  Tensor y = Tensor::zeros({256}, {.device = kCuda});
  Tensor epoch = Tensor::from(std::vector<int64_t>{0}, {1}).to(kCuda);
  const RandomKey key{1, Purpose::dropout, 3, 9};
  const auto replay = runtime().capture([&] { y.copy_from(ops::dropout(x, 0.5, key)); },
                                        reinterpret_cast<const uint64_t*>(epoch.data<int64_t>()));
  for (const int64_t now : {3, 4, 3}) {
    epoch.copy_from(Tensor::from(std::vector<int64_t>{now}, {1}));
    replay->launch();
    RandomKey wanted = key;
    wanted.epoch = static_cast<uint64_t>(now);
    EXPECT_EQ(y.to_vector(), ops::dropout(x, 0.5, wanted).to_vector()) << now;
  }
  // Eager work has its own epochs again.
  EXPECT_EQ(ops::dropout(x, 0.5, key).to_vector(), y.to_vector());
}

TEST(CudaMarks, OrderStreamsAndTellTime) {
  const auto before = runtime().mark(true), after = runtime().mark(true);
  before->record(runtime().stream(0));
  Tensor x = Tensor::full({100}, 4, {.device = kCuda});
  after->record(runtime().stream(0));
  after->hold(runtime().stream(1));
  void* host = runtime().allocate_host(400);
  runtime().copy(host, x.raw(), 400, backend::CopyKind::device_to_host, runtime().stream(1));
  runtime().synchronize(runtime().stream(1));
  float last = 0;
  std::memcpy(&last, static_cast<char*>(host) + 396, sizeof last);
  EXPECT_EQ(last, 4);
  runtime().release_host(host);
  after->wait();
  EXPECT_GE(after->seconds_since(*before), 0);
}

TEST(CpuMarks, AreReachedAtOnce) {
  backend::DeviceRuntime& cpu = backend::runtime({});
  const auto before = cpu.mark(true), after = cpu.mark(true);
  before->record({});
  after->record({});
  after->hold({});
  after->wait();
  EXPECT_GE(after->seconds_since(*before), 0);
  EXPECT_FALSE(cpu.can_capture());
  EXPECT_THROW(cpu.capture([] {}, nullptr), NotImplementedError);
}

}  // namespace
}  // namespace sing::test
