// What only shows with memory that is used again, a second device or a second thread: each in a
// process of its own, with work done as late as events allow.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "backend/cuda/architectures.h"
#include "support/toy_experiment.h"

namespace sing::test {
namespace {

/// Runs in a new process, which begins with these variables.
class CudaStreamsDeathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    cache_ = std::getenv("SING_CUDA_CACHE") ? std::getenv("SING_CUDA_CACHE") : "on";
    setenv("SING_CUDA_CACHE", "on", 1);
    setenv("SING_EMULATOR_STREAMS", "late", 1);
    setenv("SING_EMULATOR_DEVICES", "2", 1);
  }
  void TearDown() override {
    setenv("SING_CUDA_CACHE", cache_.c_str(), 1);
    unsetenv("SING_EMULATOR_STREAMS");
    unsetenv("SING_EMULATOR_DEVICES");
  }

 private:
  std::string cache_;
};

constexpr Device kCuda{DeviceType::cuda, 0};

/// Blocks of the sizes of a batch, given back while copies of them are queued.
void receive_a_batch_where_work_is_queued() {
  ToyRun run({"data.on_device=off"}, 1, kCuda);
  backend::DeviceRuntime& runtime = backend::runtime(kCuda);
  std::vector<Tensor> wanted;
  for (const data::Field& field : run.loader->dataset().fields()) {
    const int64_t bytes = checked_bytes(field.shape.numel(), field.dtype);
    const Tensor gone = Tensor::full({run.loader->options().batch_size * bytes}, 3,
                                     {.dtype = DType::u8, .device = kCuda});
    runtime.synchronize(runtime.stream(0));
    wanted.push_back(gone.clone());
  }
  train::Feed feed(*run.loader, kCuda);
  feed.fetch_ahead();
  runtime.synchronize(runtime.stream(1));
  for (const Tensor& tensor : wanted)
    for (const double value : tensor.to_vector())
      if (value != 3) std::exit(1);
  Batch batch;
  std::exit(feed.next(batch) ? 0 : 2);
}

TEST_F(CudaStreamsDeathTest, ABatchLandsWhereNobodyWorksAnyMore) {
  EXPECT_EXIT(receive_a_batch_where_work_is_queued(), ::testing::ExitedWithCode(0), "");
}

/// A thread begins with the first device.
void use_the_second_device_from_two_threads() {
  const Device second{DeviceType::cuda, 1};
  double sum = Tensor::full({3}, 2, {.device = second}).to_vector()[0];
  std::thread([&] { sum += Tensor::full({3}, 5, {.device = second}).to_vector()[0]; }).join();
  std::exit(sum == 7 ? 0 : 1);
}

TEST_F(CudaStreamsDeathTest, EachThreadSelectsItsDevice) {
  EXPECT_EXIT(use_the_second_device_from_two_threads(), ::testing::ExitedWithCode(0), "");
}

/// All of a run, with the memory of real life: as when work is done at once.
void train_late_and_at_once() {
  train::CheckpointContents contents[2];
  for (const int late : {0, 1}) {
    setenv("SING_EMULATOR_STREAMS", late ? "late" : "now", 1);
    ToyRun run({"data.on_device=off", "train.accumulate=2", "train.duration=4ep"}, 1, kCuda);
    run.trainer->run();
    contents[late] = run.snapshot();
  }
  std::exit(differences(contents[0].model, contents[1].model).empty() &&
                    differences(contents[0].optimizer, contents[1].optimizer).empty()
                ? 0
                : 1);
}

TEST_F(CudaStreamsDeathTest, WhenWorkIsDoneChangesNothing) {
  EXPECT_EXIT(train_late_and_at_once(), ::testing::ExitedWithCode(0), "");
}

TEST(CudaArchitectures, WhatRunsWhere) {
  using cuda::runs_on;
  EXPECT_TRUE(runs_on("90-real", 9, 0));
  EXPECT_FALSE(runs_on("90-real", 8, 9));
  EXPECT_FALSE(runs_on("90-real", 10, 0)) << "machine code of another major version";
  EXPECT_TRUE(runs_on("80-real", 8, 9));
  EXPECT_FALSE(runs_on("89-real", 8, 6));
  EXPECT_TRUE(runs_on("80-real,100-real", 10, 3));
  EXPECT_TRUE(runs_on("80-real,90-virtual", 12, 0));
  EXPECT_TRUE(runs_on("80", 12, 0)) << "translated when it is loaded";
  EXPECT_FALSE(runs_on("90-virtual", 8, 0));
  EXPECT_TRUE(runs_on("90a-real", 9, 0));
  EXPECT_FALSE(runs_on("90a", 10, 0)) << "made for one alone";
  EXPECT_FALSE(runs_on("100f", 12, 0)) << "made for one family";
  EXPECT_TRUE(runs_on("all-major", 7, 5));
}

}  // namespace
}  // namespace sing::test
