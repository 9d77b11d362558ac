#include <gtest/gtest.h>

#include "config/bad_configs.h"
#include "config/example_root.h"
#include "sing/config/load.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::Root;

std::vector<Diagnostic> errors_of(const std::string& file) {
  try {
    load<Root>({{file}, {}, {}, {}});
  } catch (const ConfigErrors& e) {
    EXPECT_EQ(e.exit_code(), ExitCode::usage);
    return {e.diagnostics().begin(), e.diagnostics().end()};
  }
  return {};
}

TEST(Errors, BadConfigsAreRefusedAtTheirPlace) {
  const testing::ConfigFolder folder;
  const auto cases = example::bad_configs();
  EXPECT_GE(cases.size(), 150u);
  for (const example::BadConfig& bad : cases) {
    const std::string text = example::text_of(bad);
    const auto errors = errors_of(folder.write("bad.yaml", text));
    EXPECT_EQ(errors.size(), 1u) << text << "\none fault, one report; "
                                 << (errors.empty() ? "" : errors.back().what);
    if (errors.empty()) continue;
    EXPECT_EQ(errors[0].code, bad.code) << text << "\n" << errors[0].what;
    EXPECT_EQ(errors[0].origin.line, bad.line) << text << "\n" << errors[0].what;
    EXPECT_EQ(errors[0].origin.column, bad.column) << text << "\n" << errors[0].what;
  }
}

TEST(Errors, SevenFaultsGiveSevenReports) {
  const testing::ConfigFolder folder;
  const auto errors = errors_of(folder.write("seven.yaml", R"(version: 1
sed: 3
model: {name: mpl, hidden: [64]}
data:
  batch_size: -5
  preset: full
  preset: tiny
optimizer:
  host: {name: adamw, lr: fast, wieght_decay: 0}
train: {duration: 100}
)"));
  std::vector<std::string> codes;
  for (const auto& error : errors)
    codes.push_back(error.code + ":" + std::to_string(error.origin.line) + ":" +
                    std::to_string(error.origin.column));
  std::sort(codes.begin(), codes.end());
  EXPECT_EQ(codes, (std::vector<std::string>{"E0201:2:1", "E0201:9:33", "E0204:7:3", "E0207:10:19",
                                             "E0207:9:27", "E0208:5:15", "E0210:3:15"}));
}

TEST(Errors, SayWhatToDo) {
  const testing::ConfigFolder folder;
  const struct {
    const char* text;
    const char* hint;
  } cases[] = {
      {"optim: {}", "did you mean 'optimizer'?"},
      {"base: a.yaml", "did you mean 'extends'?"},
      {"_base_: a.yaml", "did you mean 'extends'?"},
      {"defaults: [a]", "did you mean 'extends'?"},
      {"epochs: 5", "use 'train.duration'"},
      {"batch: 5", "use 'data.batch_size'"},
      {"lr: 5", "use 'optimizer.host.lr'"},
      {"wd: 5", "use 'optimizer.host.weight_decay'"},
      {"optimizer: {lr: 5}", "use 'optimizer.host.lr'"},
      {"train: {epochs: 5}", "did you mean 'duration'?"},
      {"data: {batch: 5}", "did you mean 'batch_size'?"},
      {"optimizer: {host: {name: adamw, learning_rate: 1}}", "did you mean 'lr'?"},
      {"optimizer: {host: {name: adamw, wd: 1}}", "did you mean 'weight_decay'?"},
      {"optimizer: {host: {name: adamw, l: 1}}", "did you mean 'lr'?"},
      {"optimizer: {host: {name: adamw, rl: 1}}", "did you mean 'lr'?"},
      {"optimizer: {host: {name: adamw, weight-decay: 1}}", "did you mean 'weight_decay'?"},
      {"optimizer: {host: {name: adamw, weightDecay: 1}}", "did you mean 'weight_decay'?"},
      {"optimizer: {host: {type: sgd}}", "did you mean 'name'?"},
      {"optimizer: {lr_scheduler: cosine}", "did you mean 'schedule'?"},
      {"optimizer: {host: admaw}", "did you mean 'adamw'?"},
      {"data: {preset: ful}", "did you mean 'full'?"},
      {"train: {duration: 7}", "write 7ep or 7st"},
      {"train: {deterministic: yes}", "write true"},
      {"metrics: mse", "write [mse]"},
      {"seed: 007", "no leading zero: write 7"},
  };
  for (const auto& c : cases) {
    const auto errors =
        errors_of(folder.write("bad.yaml", std::string("version: 1\nmodel: mlp\n") + c.text));
    ASSERT_EQ(errors.size(), 1u) << c.text;
    EXPECT_EQ(errors[0].hint, c.hint) << c.text;
  }
}

// Equally near names: a key that is not there yet, then swapped letters, then one letter more or
// less.
TEST(Errors, TiesGoToTheLikelierKey) {
  struct Alike {
    int head = 0, heads = 0, lead = 0;
    static void describe(Fields<Alike>& f) {
      f("head", &Alike::head, "");
      f("heads", &Alike::heads, "");
      f("lead", &Alike::lead, "");
    }
  };
  const auto hint = [](const std::string& text) {
    Problems problems;
    bind<Alike>(*read_yaml(text, "t", problems), problems);
    return problems.ok() ? "" : problems.errors()[0].hint;
  };
  EXPECT_EQ(hint("heasd: 1"), "did you mean 'heads'?");
  EXPECT_EQ(hint("ead: 1"), "did you mean 'head'?");
  EXPECT_EQ(hint("{ead: 1, head: 2}"), "did you mean 'lead'?");
  EXPECT_EQ(hint("{heasd: 1, heads: 2}"), "did you mean 'head'?");
}

TEST(Errors, MisspeltRequiredKeyIsNotMissingToo) {
  const testing::ConfigFolder folder;
  const auto errors = errors_of(folder.write("a.yaml", "vresion: 1\nmodle: mlp\n"));
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].hint, "did you mean 'version'?");
  EXPECT_EQ(errors[1].hint, "did you mean 'model'?");
  const auto base = errors_of(folder.write("b.yaml", "extnds: a.yaml\n"));
  ASSERT_EQ(base.size(), 1u) << "what the other file would have said is not missing";
}

TEST(Errors, ManyUnknownKeysStayCheap) {
  const testing::ConfigFolder folder;
  std::string text = "version: 1\nmodel: mlp\n";
  for (int i = 0; i < 4900; ++i) text += "unknown_key_" + std::to_string(i) + ": 1\n";
  try {
    load<Root>({{folder.write("a.yaml", text)}, {}, {}, {}});
    FAIL();
  } catch (const ConfigErrors& e) {
    EXPECT_EQ(e.count(), 4900u);
    EXPECT_EQ(e.diagnostics().size(), 100u);
    EXPECT_NE(render(e, "sing").find("... and 4800 more\n4900 errors; nothing was started\n"),
              std::string::npos);
  }
}

TEST(Errors, RenderingCopesWithAnyLine) {
  auto source = std::make_shared<Source>();
  source->name = "a.yaml";
  source->lines = {std::string(500, 'x') + "HERE" + std::string(500, 'y'), "\tö: 1", "short"};
  const auto caret_below = [&](int line, int column) {
    const std::string text =
        render(Diagnostic{"E0200", "wrong", {source, line, column, 4, {}}, {}, {}}, "");
    const size_t first = text.find(" | ") + 3;
    const size_t second = text.find(" | ", first) + 3;
    const size_t caret = text.find('^', second) - second;
    return text.substr(first + caret, 4);
  };
  EXPECT_EQ(caret_below(1, 501), "HERE");
  EXPECT_EQ(caret_below(3, 1), "shor");
  const std::string tab = render(Diagnostic{"E0200", "wrong", {source, 2, 2, 1, {}}, {}, {}}, "");
  EXPECT_NE(tab.find("   2 |  ö: 1\n     |  ^\n"), std::string::npos) << tab;
  EXPECT_NO_THROW(render(Diagnostic{"E0200", "wrong", {source, 3, 99, 4, {}}, {}, {}}, ""));
  EXPECT_NO_THROW(render(Diagnostic{"E0200", "wrong", {source, 9, 1, 4, {}}, {}, {}}, ""));
  EXPECT_EQ(render(Diagnostic{"W0299", "doubtful", {}, "look again", {}}, "sing"),
            "sing: warning[W0299]: doubtful\n  look again\n");
}

TEST(Errors, WarningsDoNotStopAnything) {
  const testing::ConfigFolder folder;
  const auto loaded = load<Root>(
      {{folder.write("a.yaml", "version: 1\nmodel: mlp\ntrain: {device: cpu, accumulate: 65}\n")},
       {},
       {},
       {}});
  ASSERT_EQ(loaded.warnings.size(), 1u);
  EXPECT_EQ(loaded.warnings[0].code, "W0299");
  EXPECT_EQ(loaded.warnings[0].origin.column, 34);
}

}  // namespace
}  // namespace sing::config
