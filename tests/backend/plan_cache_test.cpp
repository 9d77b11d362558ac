#include "backend/plan_cache.h"

#include <gtest/gtest.h>

#include <new>

#include "sing/core/error.h"

namespace sing::test {
namespace {

TEST(PlanCache, KeepsTheMostRecentlyUsed) {
  backend::PlanCache<int> cache(2);
  int made = 0;
  const auto get = [&](int64_t key) {
    return *cache.get({key}, [&] { return std::make_shared<int>(++made); });
  };
  EXPECT_EQ(get(1), 1);
  EXPECT_EQ(get(2), 2);
  EXPECT_EQ(get(1), 1);
  EXPECT_EQ(get(3), 3);  // 2 leaves
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(get(1), 1);
  EXPECT_EQ(get(2), 4);
  EXPECT_THROW(cache.get({9}, []() -> std::shared_ptr<int> { throw std::bad_alloc(); }),
               std::bad_alloc);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(PlanCache, KeepsThoseUsedLast) {
  backend::PlanCache<int> cache(2);
  int made = 0;
  const auto get = [&](int64_t key) {
    return cache.get({key}, [&] { return std::make_shared<const int>(++made); });
  };
  const auto first = get(1);
  get(2);
  EXPECT_EQ(get(1), first);  // now 2 is the one not used for longest
  get(3);
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(get(1), first);
  EXPECT_EQ(made, 3);
  get(2);
  EXPECT_EQ(made, 4);
}

TEST(PlanCache, RemembersRefusalsButNoErrors) {
  backend::PlanCache<int> cache(4);
  int asked = 0;
  const auto refuse = [&]() -> std::shared_ptr<const int> {
    ++asked;
    return nullptr;
  };
  EXPECT_EQ(cache.get({1}, refuse), nullptr);
  EXPECT_EQ(cache.get({1}, refuse), nullptr);
  EXPECT_EQ(asked, 1);
  const auto fail = []() -> std::shared_ptr<const int> { throw BackendError("no"); };
  EXPECT_THROW(cache.get({2}, fail), BackendError);
  EXPECT_EQ(*cache.get({2}, [] { return std::make_shared<const int>(5); }), 5);
}

}  // namespace
}  // namespace sing::test
