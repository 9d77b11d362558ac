#include "support/config_mutations.h"

#include <gtest/gtest.h>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/bind.h"
#include "support/config_bad_values.h"

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

// Each key refuses another type and what lies just outside its limits, at the value's place.
TEST(Mutation, EachKeyRefusesWrongValues) {
  const auto all = testing::bad_values(schema_of<example::Root>());
  EXPECT_GT(all.size(), 120u);
  for (const testing::BadValue& bad : all) {
    Problems problems;
    const auto tree = read_yaml(bad.text, "a.yaml", problems);
    ASSERT_TRUE(tree && problems.ok()) << bad.text;
    bind<example::Root>(*tree, problems);
    // Other keys are missing in such a config; what counts is the report at the value.
    std::string found;
    for (const Diagnostic& error : problems.errors())
      if (error.origin.column == bad.column) found = error.code;
    EXPECT_EQ(found, bad.code) << bad.path << "\n" << bad.text;
  }
}

}  // namespace
}  // namespace sing::config
