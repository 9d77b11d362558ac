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

}  // namespace
}  // namespace sing::config
