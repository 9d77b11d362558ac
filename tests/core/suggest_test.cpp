#include "sing/core/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace sing {
namespace {

TEST(Suggest, CountsEdits) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("adamw", "adamw"), 0u);
  EXPECT_EQ(edit_distance("wieght", "weight"), 1u) << "a swap of neighbours is one edit";
  EXPECT_EQ(edit_distance("lr", "l"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("ca", "abc"), 3u) << "no letter is edited twice";
}

TEST(Suggest, FindsWhatWasMeantOrNothing) {
  const std::vector<std::string> keys{"betas", "eps", "log", "lr", "weight_decay"};
  EXPECT_EQ(nearest_name("beta", keys), "betas");
  EXPECT_EQ(nearest_name("rl", keys), "lr");
  EXPECT_EQ(nearest_name("l", keys), "lr");
  EXPECT_EQ(nearest_name("esp", keys), "eps");
  EXPECT_EQ(nearest_name("weigth_deccay", keys), "weight_decay");
  EXPECT_EQ(nearest_name("lar", std::vector<std::string>{"log"}), "") << "short words: one edit";
  EXPECT_EQ(nearest_name("momentum", keys), "");
  EXPECT_EQ(nearest_name("x", std::vector<std::string>{"y"}), "") << "nothing in common";
  EXPECT_EQ(nearest_name(std::string(1000000, 'x'), keys), "");
  EXPECT_EQ(nearest_name("ab", std::vector<std::string>{"abc", "abd"}), "abc") << "the earlier";
}

}  // namespace
}  // namespace sing
