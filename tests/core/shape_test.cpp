#include "sing/core/shape.h"

#include <gtest/gtest.h>

#include <limits>

#include "sing/core/error.h"

namespace sing {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(Shape, CountsElements) {
  EXPECT_EQ(Shape({2, 3, 4}).numel(), 24);
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ(Shape({5, 0}).numel(), 0);
  EXPECT_EQ(to_string(Shape({8, 197, 384})), "(8, 197, 384)");
}

TEST(Shape, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Shape({-1}), ShapeError);
  EXPECT_THROW(Shape({0, -3}), ShapeError);
  EXPECT_THROW(Shape({kMax, 2}), ShapeError);
  EXPECT_THROW(Shape({int64_t{1} << 32, int64_t{1} << 32}), ShapeError);
  EXPECT_THROW(Shape({kMax, 2, 0}), ShapeError) << "a zero must not hide an overflow";
  EXPECT_NO_THROW(Shape({kMax}));
  EXPECT_THROW(checked_bytes(kMax, DType::f32), ShapeError);
  EXPECT_THROW(Shape({1, 1, 1, 1, 1, 1, 1}), ShapeError);
}

TEST(Shape, Broadcasts) {
  EXPECT_EQ(broadcast_shapes("add", {4, 1, 3}, {2, 1}), Shape({4, 2, 3}));
  EXPECT_EQ(broadcast_shapes("add", {}, {2, 0}), Shape({2, 0}));
  try {
    broadcast_shapes("add", {4, 3}, {4, 2});
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(),
                 "add: shapes (4, 3) and (4, 2) do not broadcast: dimension -1 is 3 and 2");
  }
}

}  // namespace
}  // namespace sing
