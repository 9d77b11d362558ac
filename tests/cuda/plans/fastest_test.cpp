// Which of several ways to the same result is kept.
#include "backend/cuda/cudnn/fastest.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sing/core/error.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

/// Ways that take so many seconds and write one number; a negative time is a failure.
struct Way {
  double seconds;
  float result;
};

constexpr float kNothing = 7;  // is not written

Fastest found(const std::vector<Way>& ways) {
  Way last{};
  std::vector<Work> works;
  for (const Way& way : ways)
    works.emplace_back([&last, way] {
      if (way.seconds < 0) throw BackendError("an engine that does not run");
      if (way.result != kNothing) last = way;
    });
  const Trial trial{[&](const Work& work) {
                      work();
                      return last.seconds;
                    },
                    [&] {
                      // The second element gives the first a scale.
                      return std::vector<float>{last.result, 1.0f};
                    },
                    [&] {
                      last = {0.01, std::nanf("")};
                    }};
  return fastest_of(works, trial);
}

TEST(CudnnFastest, IsTheOneWithTheShortestTime) {
  EXPECT_EQ(found({{1, 2}, {0.5, 2}, {0.4, 2}, {0.7, 2}}).way, 2u);
  EXPECT_EQ(found({{1, 2}, {1.5, 2}}).way, 0u);
  EXPECT_EQ(found({{1, 2}}).way, 0u);
}

TEST(CudnnFastest, KeepsTheFirstUnlessAnotherIsWorthIt) {
  EXPECT_EQ(found({{1, 2}, {0.98, 2}}).way, 0u);
  EXPECT_EQ(found({{1, 2}, {0.96, 2}}).way, 1u);
}

TEST(CudnnFastest, LeavesOutWhatFailsOrDisagrees) {
  const float bit = 1.0f / 256;  // of a bf16 near 1
  EXPECT_EQ(found({{1, 1}, {0.5, 1 + bit}}).way, 1u);
  EXPECT_EQ(found({{1, 1}, {0.5, 1 + 8 * bit}}).way, 0u);
  EXPECT_EQ(found({{1, 1}, {0.5, std::nanf("")}}).way, 0u);
  EXPECT_EQ(found({{1, 1}, {0.5, kNothing}}).way, 0u);
  const Fastest left = found({{1, 1}, {-1, 1}, {0.1, 2}, {0.5, 1}});
  EXPECT_EQ(left.way, 3u);
  ASSERT_EQ(left.seconds.size(), 4u);
  EXPECT_FALSE(std::isfinite(left.seconds[1]));
  EXPECT_FALSE(std::isfinite(left.seconds[2]));
  EXPECT_EQ(left.seconds[3], 0.5);
}

}  // namespace
}  // namespace sing::test
