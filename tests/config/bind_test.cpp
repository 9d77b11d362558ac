#include "sing/config/bind.h"

#include <gtest/gtest.h>

#include "config/example_root.h"

namespace sing::config {
namespace {

TEST(Bind, DefaultsStayWhereNothingIsWritten) {
  Value tree = Value::map();
  tree.set("version", Value::scalar("1"));
  tree.set("model", Value::scalar("mlp"));
  const auto config = bind<example::Root>(tree);
  EXPECT_EQ(config.seed, 1u);
  EXPECT_EQ(config.optimizer.host.name(), "adamw");
}

struct Pair {
  int a = 1, b = 1;
  static void describe(Fields<Pair>& f) {
    f("a", &Pair::a, "");
    f("b", &Pair::b, "").positive();
    f.check([](const Pair& p, Checker& c) {
      if (p.a != p.b) c.fail("a", "must be b");
      if (p.a == 7) c.fail("", "seven is taken", "try eight");
    });
  }
};

TEST(Bind, ChecksSpeakAboutAKeyOrTheWholeMap) {
  const auto errors = [](const char* a, const char* b) {
    Value tree = Value::map();
    if (a) tree.set("a", Value::scalar(a));
    tree.set("b", Value::scalar(b));
    Problems problems;
    bind<Pair>(tree, problems);
    std::string all;
    for (const Diagnostic& error : problems.errors()) all += error.what + "; ";
    return all;
  };
  EXPECT_EQ(errors("1", "1"), "");
  EXPECT_EQ(errors("2", "1"), "a: must be b; ");
  EXPECT_EQ(errors(nullptr, "2"), "a: must be b; ");
  EXPECT_EQ(errors("7", "7"), "the config: seven is taken; ");
  EXPECT_EQ(errors("7", "-1"), "b must be > 0; got -1; ") << "checks see sound values only";
}

}  // namespace
}  // namespace sing::config
