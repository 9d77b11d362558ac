#include "sing/config/print.h"

#include <gtest/gtest.h>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/load.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::Root;

Loaded<Root> load_text(const std::string& text) {
  const testing::ConfigFolder folder;
  return load<Root>({{folder.write("a.yaml", text)}, {}, {}, {}});
}

TEST(Print, EveryFormReadsBackAsTheSameConfig) {
  for (const std::string& text :
       {std::string(example::kFull), std::string("version: 1\nmodel: mlp\n"),
        std::string(
            "version: 1\nmodel: {name: mlp, hidden: [1, 2], dropout: 5%}\nname: 'a: b # c'\n"
            "expect: {\"odd key\": 1.5, eval/mse: 1e-3}\noptimizer: {lookahead: {}, "
            "transforms: [sing, {name: clip_global_norm, max_norm: 3}], host: {name: muon, "
            "auxiliary: {name: adam, lr: 2}}}\ntrain: {threads: 3, max_time: 2h}\n"),
        std::string(
            "version: 1\nmodel: {name: vit_s, init_from: \"tab\\t \\\"q\\\" \\\\ \\x01 é\"}\n"
            "name: 'null'\ntrain: {device: '-'}\noptimizer: {host: adam}\n")}) {
    const auto first = load_text(text);
    const Value complete = to_value(first.config);
    for (const std::string& printed :
         {first.print_full(), first.print_minimal(), first.print_origin()}) {
      const auto again = load_text(printed);
      EXPECT_TRUE(same_value(to_value(again.config), complete)) << printed;
      EXPECT_EQ(again.hash(), first.hash());
    }
    EXPECT_EQ(load_text(first.print_full()).print_full(), first.print_full());
  }
}

TEST(Print, MinimalSaysWhatDiffers) {
  EXPECT_EQ(load_text("version: 1\nmodel: {name: mlp, dropout: 0}\nseed: 1\ntrain: {}\n"
                      "optimizer: {host: {name: adamw, lr: 1e-3}}\n")
                .print_minimal(),
            "version: 1\nmodel: mlp\n");
  EXPECT_EQ(
      load_text("version: 1\nmodel: mlp\noptimizer: {host: {name: adamw, lr: 2e-3, eps: 1e-8},"
                " transforms: [{name: sing, eps: 1e-8}]}\n")
          .print_minimal(),
      "version: 1\nmodel: mlp\noptimizer:\n  transforms: [sing]\n  host:\n    name: adamw\n"
      "    lr: 0.002\n");
}

TEST(Print, HashFollowsTheMeaningNotTheSpelling) {
  const std::string one = load_text("version: 1\nmodel: mlp\nseed: 1000\n").hash();
  EXPECT_EQ(one.size(), 64u);
  EXPECT_EQ(load_text("seed: 1_000\nmodel: {name: mlp}\nversion: 1\n").hash(), one);
  EXPECT_EQ(load_text("seed: 1k\nmodel: mlp\nversion: 1\ntrain: {duration: 1ep}\n").hash(), one);
  EXPECT_NE(load_text("version: 1\nmodel: mlp\nseed: 1001\n").hash(), one);
}

// Any text must survive printing, whatever YAML would make of it without quotes.
TEST(Print, AnyTextSurvives) {
  const std::vector<std::string> words{
      "",     "null", "Null", "~",    "true", "010",    "1e3",    "- a",    "-",
      "---",  "...",  "a: b", "a:",   ":a",   "a #b",   "#a",     "a,b",    "[a]",
      "{a}",  "*a",   "&a",   "!a",   "%a",   "@a",     "`a",     "'a'",    "\"a\"",
      "a\nb", "a\tb", " a",   "a ",   "?",    "? a",    "=",      "<<",     "|",
      ">",    "\\",   "\x7F", "\x01", "é",    "\u2028", "a\r\nb", "cuda:0", "http://x/y",
      "1,2",  "0x1F", "-1",   "+1",   ".5",   "\u00a0"};
  Value map = Value::map(), list = Value::list();
  for (const std::string& text : words) {
    map.entries.push_back({text + "k", {}, Value::scalar(text)});
    if (text != "<<") map.entries.push_back({text, {}, Value::none()});  // refused as a key
    list.items.push_back(Value::scalar(text));
  }
  map.set("list", list);
  Value deep = Value::list();
  deep.items = {map, list, Value::map(), Value::list(), Value::scalar("x")};
  map.set("deep", deep);
  Problems problems;
  const std::string text = to_yaml(map);
  const auto again = read_yaml(text, "t", problems);
  ASSERT_TRUE(again && problems.ok()) << text << problems.errors()[0].what;
  EXPECT_TRUE(same_value(*again, map)) << text;
}

TEST(Print, DerivedDefaultsSayWhy) {
  struct Derived {
    bool sing = false;
    double lr = 1e-3;
    static void describe(Fields<Derived>& f) {
      f("sing", &Derived::sing, "");
      f("lr", &Derived::lr, "").derive([](Derived& d) -> std::string {
        if (d.sing) d.lr = 1e-2;
        return d.sing ? "because of sing: true" : "";
      });
    }
  };
  const auto read = [](const std::string& text) {
    const testing::ConfigFolder folder;
    return load<Derived>({{folder.write("a.yaml", text)}, {}, {}, {}});
  };
  EXPECT_EQ(read("sing: false").config.lr, 1e-3);
  EXPECT_EQ(read("{sing: true, lr: 0.5}").config.lr, 0.5);
  const auto derived = read("sing: true");
  EXPECT_EQ(derived.config.lr, 1e-2);
  EXPECT_NE(derived.print_origin().find("lr: 0.01  # default because of sing: true\n"),
            std::string::npos);
  EXPECT_EQ(read(read("{sing: true, lr: 1e-3}").print_minimal()).config.lr, 1e-3)
      << "an explicit value that equals the plain default must not be derived again";
}

}  // namespace
}  // namespace sing::config
