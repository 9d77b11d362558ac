#include "support/config_mutations.h"

#include <gtest/gtest.h>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/bind.h"

namespace sing::config {
namespace {

using testing::KeyMutation;

// The one letter wrong must be found wherever it is, with the key that was meant.
TEST(Mutation, EachMisspeltKeyIsFoundAndCorrected) {
  size_t tried = 0;
  for (const KeyMutation& mutation : testing::mutate_keys(example::kFull)) {
    ++tried;
    const std::string shown = mutation.path + " as '" + mutation.mutated + "'";
    Problems problems;
    const auto tree = read_yaml(mutation.text, "a.yaml", problems);
    ASSERT_TRUE(tree && problems.ok()) << shown;
    bind<example::Root>(*tree, problems);
    ASSERT_EQ(problems.error_count(), 1u) << shown << ": one fault, one report";
    const Diagnostic& error = problems.errors()[0];
    EXPECT_EQ(error.code, code::kUnknownKey) << shown;
    EXPECT_EQ(error.origin.line, mutation.line) << shown;
    EXPECT_EQ(error.origin.column, mutation.column) << shown;
    EXPECT_EQ(error.hint, "did you mean '" + mutation.key + "'?") << shown;
  }
  EXPECT_GT(tried, 400u);
}

}  // namespace
}  // namespace sing::config
