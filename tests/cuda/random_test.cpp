// Random numbers of kernels are those of the CPU. Device code compiles here as plain functions.
#include "kernels/cuda/random.h"

#include <gtest/gtest.h>

#include <vector>

#include "sing/ops/dropout.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};
constexpr uint64_t kPositions[] = {0, 1, 0xffffffffu, 0x123456789abcdefu};

TEST(CudaRandom, WordsOfAKeyAreThoseOfTheCore) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{42}, ~uint64_t{0}})
    for (const Purpose purpose : {Purpose::dropout, Purpose::augment})
      for (const uint64_t epoch : {uint64_t{0}, uint64_t{7}, uint64_t{1} << 40})
        for (const uint64_t position : kPositions) {
          const RandomKey key{seed, purpose, epoch, position};
          const cuda::PhiloxKey got = cuda::philox_key_of(cuda::make_device_key(key, nullptr));
          const std::array<uint32_t, 2> wanted = philox_key(key);
          EXPECT_EQ(got.k0, wanted[0]);
          EXPECT_EQ(got.k1, wanted[1]);
          for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3},
                                       uint64_t{4}, uint64_t{77}, uint64_t{0x1234567890}})
            EXPECT_EQ(cuda::random_word(got, index), random_bits(key, index)) << index;
        }
}

TEST(CudaRandom, EpochInMemoryReplacesThatOfTheKey) {
  const RandomKey captured{5, Purpose::dropout, 3, 99};
  uint64_t epoch = 0;
  const cuda::DeviceKey device = cuda::make_device_key(captured, &epoch);
  for (const uint64_t step : {uint64_t{0}, uint64_t{3}, uint64_t{1000000007}}) {
    epoch = step;
    RandomKey now = captured;
    now.epoch = step;
    EXPECT_EQ(cuda::random_word(cuda::philox_key_of(device), 21), random_bits(now, 21)) << step;
  }
}

/// Sizes around packs and blocks of threads, and a view that is not aligned for packs.
TEST(CudaDropout, MaskAndValuesEqualThoseOfTheCpu) {
  const RandomKey key{11, Purpose::dropout, 3, 0x123456789};
  std::vector<float> values(5000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random_normal({17, Purpose::test, 0, 0}, i));
  const Tensor wide = Tensor::from(values, {5000});
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor all = wide.to(dtype), there = all.to(kCuda);
    for (const int64_t n : {1, 3, 4, 5, 7, 8, 9, 1024, 2047, 2048, 2049, 4999})
      for (const int64_t start : {0, 1}) {
        const Tensor wanted = ops::dropout(all.narrow(0, start, n), 0.3, key);
        const Tensor got = ops::dropout(there.narrow(0, start, n), 0.3, key);
        EXPECT_EQ(got.to(Device{}).to_vector(), wanted.to_vector())
            << name_of(dtype) << ", " << n << " from " << start;
      }
  }
}

}  // namespace
}  // namespace sing::test
