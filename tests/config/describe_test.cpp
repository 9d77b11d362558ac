#include "sing/config/describe.h"

#include <gtest/gtest.h>

#include <set>

#include "config/bad_configs.h"
#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/load.h"
#include "support/json_schema_check.h"

namespace sing::config {
namespace {

using example::Root;

const StructSchema& root() {
  return schema_of<Root>();
}

bool accepted(const std::string& text) {
  static const JsonValue schema = parse_json(json_schema(root(), "example"), "schema");
  Problems problems;
  const auto tree = read_yaml(text, "t.yaml", problems);
  return tree && testing::fits_schema(schema, testing::as_editor_json(*tree), schema);
}

TEST(JsonSchema, AcceptsWhatTheLoaderAccepts) {
  for (const char* text :
       {example::kFull, "version: 1\nmodel: mlp", "extends: a.yaml\nseed: 2",
        "extends: [a.yaml]\noptimizer: {host: {lr: 1e-2}}", "version: 1\nmodel: mlp\nseed: 50k",
        "version: 1\nmodel: mlp\nseed: ${env:SEED:-1}", "version: 1\nmodel: mlp\nname: null",
        "version: 1\nmodel: mlp\ntrain: {threads: auto, max_time: 2h}",
        "version: 1\nmodel: {name: mlp, dropout: 5%, hidden: [1_000, 64Ki]}",
        "version: 1\nmodel: mlp\noptimizer: {host: {name: muon, auxiliary: {name: sgd, lr: .5}}}",
        "version: 1\nmodel: mlp\noptimizer: {host: {lr: 5e-2}}",
        "version: 1\nmodel: mlp\nname: 12"})
    EXPECT_TRUE(accepted(text)) << text;
}

TEST(JsonSchema, RefusesTheBadSet) {
  size_t refused = 0;
  for (const example::BadConfig& bad : example::bad_configs()) {
    if (!bad.schema_sees) continue;
    EXPECT_FALSE(accepted(example::text_of(bad))) << example::text_of(bad);
    ++refused;
  }
  EXPECT_GT(refused, 120u);
  EXPECT_FALSE(accepted("extends: a.yaml\nsed: 2"));
  EXPECT_FALSE(accepted("extends: a.yaml\noptimizer: {host: {lrr: 2}}"));
}

// Defaults printed by the schema table must be values the table itself accepts.
TEST(Describe, EveryDefaultIsAcceptedByItsOwnKey) {
  Root defaults;
  defaults.version = 1;
  defaults.model = "mlp";
  Problems problems;
  bind<Root>(to_value(defaults), problems);
  EXPECT_TRUE(problems.ok()) << problems.errors()[0].what;
  for (const ComponentKindBase* kind : all_kinds(root()))
    for (const std::string& name : kind->names()) {
      const ComponentEntry& entry = kind->get(name);
      Reader reader(problems);
      const auto copy = entry.copy(entry.defaults.get());
      read_struct(entry.schema(), write_struct(entry.schema(), entry.defaults.get()), copy.get(),
                  reader, name);
      EXPECT_TRUE(problems.ok()) << kind->kind() << " " << name << problems.errors()[0].what;
    }
}

TEST(Describe, WalksEveryKey) {
  std::set<std::string> paths;
  for (const KeyInfo& key : all_keys(root())) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    EXPECT_FALSE(key.field->help.empty()) << key.path;
  }
  for (const char* path :
       {"version", "extends", "optimizer.host{adamw}.lr", "optimizer.transforms[]{sing}.eps",
        "optimizer.groups[].match.tags", "optimizer.host{muon}.auxiliary", "expect",
        "checkpoint.keep_best.metric", "model{vit_s}.patch", "train.duration"})
    EXPECT_TRUE(paths.contains(path)) << path;
  EXPECT_EQ(all_kinds(root()).size(), 4u);
}

TEST(Describe, Explains) {
  EXPECT_EQ(explain(root(), "optimizer.lookahead.alpha"),
            "optimizer.lookahead.alpha\n  share of the fast weights taken\n"
            "  a number in (0, 1]; default 0.5\n");
  EXPECT_NE(explain(root(), "optimizer.host.lr")
                .find("(adamw)\n  learning rate at its peak\n"
                      "  a number > 0; default 0.001\n"),
            std::string::npos);
  EXPECT_EQ(explain(root(), "optimizer.transforms.0.eps"),
            explain(root(), "optimizer.transforms.eps"));
  EXPECT_NE(explain(root(), "adamw").find("weight_decay: a number >= 0; default 0.01"),
            std::string::npos)
      << "the default of adamw, not of adam";
  EXPECT_NE(explain(root(), "host").find("  sgd  stochastic gradient descent\n"),
            std::string::npos);
  EXPECT_NE(explain(root(), "E0201").find("keys are never ignored"), std::string::npos);
  EXPECT_NE(explain(root(), "version").find("required"), std::string::npos);
  EXPECT_NE(explain(root(), "model").find("required"), std::string::npos);
  EXPECT_NE(explain(root(), "patch").find("in pixels"), std::string::npos);
  try {
    explain(root(), "adamv");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_EQ(e.hint(), "did you mean 'adam'?");
  }
  for (const KeyInfo& key : all_keys(root()))
    EXPECT_FALSE(explain(root(), key.field->name).empty()) << key.path;
  for (const ErrorCode& error : error_codes()) EXPECT_FALSE(explain(root(), error.code).empty());
}

TEST(Component, ChecksItsOptions) {
  EXPECT_EQ(example::Kind("x").names().size(), 0u);
  using Host = Component<example::host_kind>;
  const Host sgd("sgd", example::SgdOptions{{.lr = 2, .weight_decay = 0}, 0.9, false});
  EXPECT_EQ(sgd.make(3.0)->number, 6);
  EXPECT_EQ(sgd.options_as<example::SgdOptions>()->momentum, 0.9);
  EXPECT_EQ(sgd.options_as<example::AdamOptions>(), nullptr);
  EXPECT_THROW(Host("sgd", example::AdamOptions{}), InternalError);
  EXPECT_THROW(Host("sgdd", example::SgdOptions{}), ConfigError);
  EXPECT_THROW(Host("sgdd").make(1.0), ConfigError);
  EXPECT_EQ(Host("adamw").make(1.0)->number, 1e-3);
  EXPECT_THROW(example::host_kind().add<example::SgdOptions>(
                   "sgd", "again", [](const example::SgdOptions&, double) { return nullptr; }),
               InternalError);
}

}  // namespace
}  // namespace sing::config
