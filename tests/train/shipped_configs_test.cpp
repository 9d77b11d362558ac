// The shipped configs against the schema table: each misspelt key is found, each key refuses wrong
// values, and the generated JSON Schema accepts the files.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "sing/config/describe.h"
#include "sing/config/load.h"
#include "sing/train/config.h"
#include "support/config_bad_values.h"
#include "support/config_files.h"
#include "support/config_mutations.h"
#include "support/json_schema_check.h"

namespace sing::train {
namespace {

namespace fs = std::filesystem;

struct Shipped {
  std::string name, text;
};

std::vector<Shipped> shipped() {
  std::vector<Shipped> result;
  for (const auto& entry : fs::directory_iterator(fs::path(SING_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    result.push_back({entry.path().filename().string(),
                      {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}});
  }
  return result;
}

// The folder of configs again, so that `extends` finds its files beside a changed one.
void copy_all(const testing::ConfigFolder& folder) {
  for (const Shipped& config : shipped()) folder.write(config.name, config.text);
  fs::copy(fs::path(SING_SOURCE_DIR) / "configs" / "presets", folder.path("presets"));
}

TEST(ShippedConfigs, EachMisspeltKeyIsFoundAndCorrected) {
  const testing::ConfigFolder folder;
  copy_all(folder);
  size_t tried = 0;
  for (const Shipped& config : shipped()) {
    for (const testing::KeyMutation& mutation : testing::mutate_keys(config.text)) {
      ++tried;
      const std::string shown = config.name + ": " + mutation.path + " as " + mutation.mutated;
      const std::string file = folder.write("mutated.yaml", mutation.text);
      try {
        config::load<ExperimentConfig>({{file}, {}, {}, {}});
        ADD_FAILURE() << shown << " was accepted";
      } catch (const config::ConfigErrors& e) {
        EXPECT_EQ(e.exit_code(), ExitCode::usage);
        ASSERT_EQ(e.count(), 1u) << shown << ": one fault, one report";
        const config::Diagnostic& error = e.diagnostics()[0];
        EXPECT_EQ(error.origin.line, mutation.line) << shown;
        EXPECT_EQ(error.origin.column, mutation.column) << shown;
        EXPECT_EQ(error.hint, "did you mean '" + mutation.key + "'?") << shown;
      }
    }
  }
  EXPECT_GT(tried, 1000u);
}

TEST(ShippedConfigs, EachKeyRefusesWrongValues) {
  const auto all = testing::bad_values(config::schema_of<ExperimentConfig>());
  EXPECT_GT(all.size(), 400u);
  for (const testing::BadValue& bad : all) {
    config::Problems problems;
    const auto tree = config::read_yaml(bad.text, "bad.yaml", problems);
    ASSERT_TRUE(tree && problems.ok()) << bad.text;
    config::bind<ExperimentConfig>(*tree, problems);
    std::string found;  // other keys are missing in such a file; what counts is the report here
    for (const config::Diagnostic& error : problems.errors())
      if (error.origin.column == bad.column) found = error.code;
    EXPECT_EQ(found, bad.code) << bad.path << "\n" << bad.text;
  }
}

TEST(ShippedConfigs, JsonSchemaAcceptsThem) {
  const JsonValue schema = parse_json(
      config::json_schema(config::schema_of<ExperimentConfig>(), "experiment"), "schema");
  for (const Shipped& config : shipped()) {
    config::Problems problems;
    const auto tree = config::read_yaml(config.text, config.name, problems);
    ASSERT_TRUE(tree && problems.ok()) << config.name;
    EXPECT_TRUE(testing::fits_schema(schema, testing::as_editor_json(*tree), schema))
        << config.name;
    config::Value wrong = *tree;
    wrong.set("optimiser", config::Value::map());
    EXPECT_FALSE(testing::fits_schema(schema, testing::as_editor_json(wrong), schema))
        << config.name;
  }
}

TEST(ShippedConfigs, PrintedOnesReadBackEqual) {
  const testing::ConfigFolder folder;
  copy_all(folder);
  for (const Shipped& config : shipped()) {
    const auto first = config::load<ExperimentConfig>({{folder.path(config.name)}, {}, {}, {}});
    for (const std::string& text :
         {first.print_full(), first.print_minimal(), first.print_origin()}) {
      const auto again =
          config::load<ExperimentConfig>({{folder.write("again.yaml", text)}, {}, {}, {}});
      EXPECT_EQ(again.hash(), first.hash()) << config.name << "\n" << text;
    }
  }
}

}  // namespace
}  // namespace sing::train
