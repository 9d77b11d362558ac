// Random numbers are a function of their key: known answers, and the properties callers count on.
#include "sing/core/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "sing/core/error.h"

namespace sing {
namespace {

using Words = std::array<uint32_t, 4>;

// The vectors that the authors publish with Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST(Random, PhiloxGivesThePublishedVectors) {
  EXPECT_EQ(philox4x32({0, 0}, {0, 0, 0, 0}),
            (Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(
      philox4x32({0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}),
      (Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(
      philox4x32({0xa4093822u, 0x299f31d0u}, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}),
      (Words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Random, EveryPartOfTheKeyAndTheIndexCounts) {
  std::set<uint32_t> seen;
  const RandomKey key{1, Purpose::test, 0, 0};
  seen.insert(random_bits(key, 0));
  seen.insert(random_bits(key, 1));
  seen.insert(random_bits(key, 4));
  seen.insert(random_bits(key, uint64_t{1} << 34));
  seen.insert(random_bits({2, Purpose::test, 0, 0}, 0));
  seen.insert(random_bits({1, Purpose::shuffle, 0, 0}, 0));
  seen.insert(random_bits({1, Purpose::test, 1, 0}, 0));
  seen.insert(random_bits({1, Purpose::test, 0, 1}, 0));
  seen.insert(random_bits({1, Purpose::test, 0, uint64_t{1} << 32}, 0));
  EXPECT_EQ(seen.size(), 9u);
  // Four numbers of one block are its words, in order; the counter is (block, position).
  const Words block = philox4x32(philox_key({1, Purpose::test, 0, 7}), {1, 0, 7, 0});
  for (uint64_t i = 0; i < 4; ++i)
    EXPECT_EQ(random_bits({1, Purpose::test, 0, 7}, 4 + i), block[i]);
}

TEST(Random, NumbersHaveTheirRangesAndMoments) {
  const RandomKey key{3, Purpose::test, 1, 2};
  constexpr int kCount = 20000;
  double sum = 0, squares = 0, uniform = 0;
  std::vector<int> counts(6);
  for (int i = 0; i < kCount; ++i) {
    const auto index = static_cast<uint64_t>(i);
    const double u = random_uniform(key, index), z = random_normal(key, index);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ASSERT_TRUE(std::isfinite(z));
    uniform += u;
    sum += z;
    squares += z * z;
    ++counts[random_below(key, index, 6)];
  }
  // Six deviations of each mean: 0.29, 1, 1.41 and 373 for one draw (or all draws) of a kind.
  EXPECT_NEAR(uniform / kCount, 0.5, 6 * 0.29 / std::sqrt(kCount));
  EXPECT_NEAR(sum / kCount, 0, 6 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 6 * 1.42 / std::sqrt(kCount));
  for (const int count : counts) EXPECT_NEAR(count, kCount / 6.0, 6 * std::sqrt(kCount * 5 / 36.0));
  EXPECT_EQ(random_below(key, 5, 1), 0u);
  EXPECT_THROW(random_below(key, 0, 0), InternalError);
}

TEST(Random, TheCounterIsTheSameNumbersOneByOne) {
  const RandomKey key{9, Purpose::synthetic, 0, 5};
  Random random(key);
  EXPECT_EQ(random.uniform(), random_uniform(key, 0));
  EXPECT_EQ(random.below(100), random_below(key, 1, 100));
  EXPECT_EQ(random.normal(), random_normal(key, 2));
  EXPECT_EQ(random.key().position, 5u);
}

TEST(Random, APermutationTakesEveryPlaceOnce) {
  for (const uint64_t n : {0ull, 1ull, 2ull, 3ull, 5ull, 64ull, 65ull, 1000ull}) {
    const Permutation order({4, Purpose::shuffle, 2, 0}, n);
    EXPECT_EQ(order.size(), n);
    std::set<uint64_t> places;
    for (uint64_t i = 0; i < n; ++i) places.insert(order(i));
    EXPECT_EQ(places.size(), n);
    EXPECT_TRUE(places.empty() || *places.rbegin() < n);
    EXPECT_THROW(order(n), InternalError);
  }
  const Permutation first({4, Purpose::shuffle, 2, 0}, 1000),
      next({4, Purpose::shuffle, 3, 0}, 1000);
  int moved = 0, differ = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    moved += first(i) != i;
    differ += first(i) != next(i);
  }
  EXPECT_GT(moved, 980);  // a random one leaves one place in 1000 alone
  EXPECT_GT(differ, 980);
}

TEST(Random, NamesHashAsFnv1a) {  // vectors of the authors' page
  EXPECT_EQ(hash_name("", 0), 0xcbf29ce484222325ull);
  EXPECT_EQ(hash_name("a", 1), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(hash_name("foobar", 6), 0x85944171f73967e8ull);
}

}  // namespace
}  // namespace sing
