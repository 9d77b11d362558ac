#include "sing/config/diff.h"

#include <gtest/gtest.h>

#include "sing/config/yaml.h"

namespace sing::config {
namespace {

std::string diff(const std::string& before, const std::string& after) {
  Problems problems;
  std::string text;
  for (const Difference& d :
       differences(*read_yaml(before, "a", problems), *read_yaml(after, "b", problems)))
    text += d.path + " " + d.before + " -> " + d.after + "; ";
  EXPECT_TRUE(problems.ok());
  return text;
}

TEST(Diff, NamesEachKey) {
  EXPECT_EQ(diff("{a: 1, b: {c: x}}", "{b: {c: x}, a: 1}"), "");
  EXPECT_EQ(diff("{a: 1, b: {c: x, d: 2}}", "{a: 2, b: {c: y, d: 2}}"), "a 1 -> 2; b.c x -> y; ");
  EXPECT_EQ(diff("{a: 1}", "{b: 1}"), "a 1 -> ; b  -> 1; ");
  EXPECT_EQ(diff("h: {name: adamw, lr: 1}", "h: {name: sgd, momentum: 0}"), "h adamw -> sgd; ");
  EXPECT_EQ(diff("h: {name: adamw, lr: 1}", "h: {name: adamw, lr: 2}"), "h.lr 1 -> 2; ");
  EXPECT_EQ(diff("{name: run1, seed: 1}", "{name: run2, seed: 2}"),
            "name run1 -> run2; seed 1 -> 2; ")
      << "the name of the run chooses nothing";
  EXPECT_EQ(diff("l: [1, 2]", "l: [1, 3]"), "l.1 2 -> 3; ");
  EXPECT_EQ(diff("l: [1, 2]", "l: [1]"), "l [1, 2] -> [1]; ");
  EXPECT_EQ(diff("o: null", "o: {every: 5}"), "o null -> {every: 5}; ");
  EXPECT_EQ(diff("s: {t: null}", "s: {t: 1}"), "s.t null -> 1; ");
}

}  // namespace
}  // namespace sing::config
