// Inputs at the edges of the readers: what only a typing slip, a pipe or a program would write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <sstream>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/bind.h"
#include "sing/config/load.h"
#include "sing/config/scalar.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::Root;
using ::testing::HasSubstr;

std::string errors_of(const LoadRequest& request) {
  try {
    load<Root>(request);
  } catch (const ConfigErrors& e) {
    return render(e, "sing-train");
  }
  return "";
}

/// Takes the place of standard input while it lives.
class StandardInput {
 public:
  explicit StandardInput(const std::string& text)
      : text_(text), before_(std::cin.rdbuf(text_.rdbuf())) {
    std::cin.clear();
  }
  ~StandardInput() {
    std::cin.rdbuf(before_);
    std::cin.clear();
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;

 private:
  std::istringstream text_;
  std::streambuf* before_;
};

TEST(LoadEdges, ReadsStandardInput) {
  const testing::ConfigFolder folder;
  {
    const StandardInput input(example::kFull);
    EXPECT_EQ(load<Root>({{"-"}, {}, {}, {}}).config.data.train_size, 50000);
  }
  {  // what it extends lies where the program was started
    const StandardInput input("extends: " + folder.write("a.yaml", example::kFull) + "\nseed: 5\n");
    EXPECT_EQ(load<Root>({{"-"}, {}, {}, {}}).config.seed, 5u);
  }
  const StandardInput input("sead: 5\n");
  EXPECT_THAT(errors_of({{"-"}, {}, {}, {}}), HasSubstr("standard input:1:1"));
}

TEST(LoadEdges, OneBadFileIsEnough) {
  const testing::ConfigFolder folder;
  const std::string good = folder.write("a.yaml", example::kFull);
  EXPECT_THAT(errors_of({{folder.path("none.yaml"), good}, {}, {}, {}}),
              HasSubstr("1 error; nothing was started"));
  const std::string empty = folder.write("b.yaml", "extends: \"\"\nseed: 1\n");
  EXPECT_THAT(errors_of({{empty}, {}, {}, {}}), HasSubstr("'extends' names a file"));
  const std::string two = folder.write("c.yaml", "extends: [none.yaml, a.yaml]\nseed: 1\n");
  EXPECT_THAT(errors_of({{two}, {}, {}, {}}), HasSubstr("there is no such file"));
}

TEST(LoadEdges, TheProcessEnvironmentIsAsked) {
  const testing::ConfigFolder folder;
  const std::string file = folder.write("a.yaml", example::kFull);
  ::setenv("SING_TEST_SEED", "77", 1);
  EXPECT_EQ(load<Root>({{file}, {"seed=${env:SING_TEST_SEED}"}, {}, {}}).config.seed, 77u);
  ::unsetenv("SING_TEST_SEED");
  EXPECT_THAT(errors_of({{file}, {"seed=${env:SING_TEST_SEED}"}, {}, {}}),
              HasSubstr("SING_TEST_SEED"));
}

TEST(LoadEdges, References) {
  const testing::ConfigFolder folder;
  const std::string file = folder.write("a.yaml", example::kFull);
  const auto with = [&](const std::string& word) { return errors_of({{file}, {word}, {}, {}}); };
  for (const char* name : {"1a", "a-b", "a b", ""})
    EXPECT_THAT(with(std::string("name=${env:") + name + "}"), HasSubstr("error")) << name;
  // A key that is null gives the word.
  EXPECT_EQ(
      load<Root>({{file},
                  {"optimizer.host.softplus_beta=null", "name=x${optimizer.host.softplus_beta}"},
                  {},
                  {}})
          .config.name,
      "xnull");
  // Many references to one long text.
  std::string long_list =
      std::string(example::kFull) + "\nname: " + std::string(60000, 'x') + "\nnotes: [";
  for (int i = 0; i < 20; ++i) long_list += "\"${name}\", ";
  EXPECT_THAT(errors_of({{folder.write("b.yaml", long_list + "x]\n")}, {}, {}, {}}),
              HasSubstr("become too long"));
}

TEST(LoadEdges, OverridesIntoListsAndScalars) {
  const testing::ConfigFolder folder;
  const std::string file = folder.write("a.yaml", example::kFull);
  const auto with = [&](std::vector<std::string> words) {
    return errors_of({{file}, std::move(words), {}, {}});
  };
  const std::string eps = "optimizer.transforms.0={name: sing, eps: 1e-3}";
  EXPECT_EQ(with({eps, "~optimizer.transforms.0.eps"}), "");
  EXPECT_THAT(with({eps, "~optimizer.transforms.7.eps"}), HasSubstr("optimizer.transforms.7"));
  EXPECT_THAT(with({"optimizer.transforms.0x.eps=1"}), HasSubstr("0x"));
  // Below a single value nothing is set: there is nothing to remove.
  EXPECT_EQ(load<Root>({{file}, {"seed=7", "~seed.x", "~seed.x.y"}, {}, {}}).config.seed, 7u);
  EXPECT_THAT(with({"nokey+=1"}), HasSubstr("unknown key 'nokey'"));
  EXPECT_THAT(with({""}), HasSubstr("is not key=value"));
  EXPECT_THAT(with({"=1"}), HasSubstr("a key is missing here"));
  EXPECT_THAT(with({"~"}), HasSubstr("a key is missing here"));
  EXPECT_THAT(with({"seed.=1"}), HasSubstr("a key is missing here"));
}

TEST(LoadEdges, AnOverrideHasALimit) {
  const testing::ConfigFolder folder;
  const std::string file = folder.write("a.yaml", example::kFull);
  YamlLimits limits;
  const std::string word = "name=" + std::string(limits.scalar_bytes, 'x');
  EXPECT_THAT(errors_of({{file}, {word}, limits, {}}), HasSubstr("an override over"));
}

TEST(YamlEdges, CountsValuesAndRefusesWhatNoConfigHolds) {
  const auto first = [](const std::string& text, const YamlLimits& limits = {}) {
    Problems problems;
    read_yaml(text, "t.yaml", problems, limits);
    return problems.ok() ? std::string() : problems.errors()[0].what;
  };
  YamlLimits limits;
  limits.nodes = 5;
  EXPECT_EQ(first("[1, 2, 3, 4]", limits), "");
  EXPECT_THAT(first("[1, 2, 3, 4, 5]", limits), HasSubstr("more values than 5"));
  EXPECT_THAT(first("[[[], [], [], []]]", limits), HasSubstr("more values than 5"));
  EXPECT_THAT(first("a: \x7f"), HasSubstr("not text in UTF-8"));
  EXPECT_EQ(first("a: >\n  folded\n  text\n"), "");
  EXPECT_THAT(first("a: ! x"), HasSubstr("tags (!name) are not read"));
  Problems problems;
  const auto nameless = read_yaml(": 1", "t.yaml", problems, {});
  EXPECT_TRUE(nameless && nameless->find_entry("")) << "for the schema to refuse";
}

TEST(MergeEdges, AMapWhoseNameIsNoWordIsMergedByKeys) {
  const testing::ConfigFolder folder;
  const std::string base = folder.write("a.yaml", example::kFull);
  const std::string over = folder.write("b.yaml", "optimizer: {host: {name: [x], lr: 1}}\n");
  EXPECT_THAT(errors_of({{base, over}, {}, {}, {}}), HasSubstr("b.yaml:1:"));
  // A name where the base has a map without one.
  const std::string nameless = folder.write("c.yaml", "optimizer: {host: {lr: 1}}\n");
  const std::string named = folder.write("d.yaml", "optimizer: {host: {name: sgd}}\n");
  const std::string rest = folder.write("e.yaml", example::kFull);
  EXPECT_EQ(load<Root>({{nameless, named, rest}, {}, {}, {}}).config.optimizer.host.name(),
            "adamw");
}

TEST(ComponentEdges, NamesNothingIsNearTo) {
  try {
    example::host_kind().get("qqqqqqqq");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.hint(), HasSubstr("known: "));
  }
  const testing::ConfigFolder folder;
  for (const char* options : {"{zzzz: 1}", "{zzzz: mlp}"}) {
    const std::string file =
        folder.write("a.yaml", std::string("version: 1\nmodel: ") + options + "\n");
    EXPECT_THAT(errors_of({{file}, {}, {}, {}}), HasSubstr("needs a name")) << options;
  }
}

TEST(ScalarEdges, Hints) {
  EXPECT_EQ(parse_bool("FALSE").hint, "write false");
  EXPECT_EQ(parse_bool("n").hint, "write false");
  EXPECT_EQ(parse_integer("1g").hint, "suffixes are k, M, G and Ki, Mi, Gi");
  EXPECT_EQ(parse_real("+inf", false, true).value, std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_unsigned("-0").value, 0u);
  EXPECT_TRUE(parse_unsigned("18014398509481984Ki").out_of_range);
  EXPECT_EQ(parse_unsigned("18014398509481983Ki").value, 18014398509481983u * 1024);
  EXPECT_FALSE(parse_duration("1e999ep").value);
  EXPECT_TRUE(parse_duration("1e999ep").out_of_range);
}

TEST(ScalarEdges, DurationsPrintAsTheyRead) {
  for (const char* text : {"0s", "90s", "2min", "3h", "50%", "5%", "0.5%", "12.5%", "100%", "0%"}) {
    const auto duration = parse_duration(text);
    ASSERT_TRUE(duration.value) << text;
    EXPECT_EQ(to_string(*duration.value), text);
  }
  EXPECT_EQ(to_string(Duration{-0.05, Duration::Unit::fraction}), "-5%");
}

struct Numbers {
  int8_t i8 = 0;
  uint8_t u8 = 0;
  int16_t i16 = 0;
  uint16_t u16 = 0;
  int32_t i32 = 0;
  uint32_t u32 = 0;
  float real = 0;
  double below = 0, above = 0;
  std::vector<int> some{1};
  std::array<float, 1> one{};
  Value kept;
  static void describe(Fields<Numbers>& f) {
    f("i8", &Numbers::i8, "");
    f("u8", &Numbers::u8, "");
    f("i16", &Numbers::i16, "");
    f("u16", &Numbers::u16, "");
    f("i32", &Numbers::i32, "");
    f("u32", &Numbers::u32, "");
    f("real", &Numbers::real, "");
    f("below", &Numbers::below, "").at_most(5);
    f("above", &Numbers::above, "").non_negative().allow_infinite();
    f("some", &Numbers::some, "").non_empty();
    f("one", &Numbers::one, "");
    f("kept", &Numbers::kept, "");
    f.check([](const Numbers& n, Checker& c) {
      if (c.given("i8") && n.i8 == n.u8) c.fail("i8", "is the same");
    });
  }
};

/// The first error of one key, or what the struct prints for it.
std::string outcome(const std::string& key, const Value& value) {
  Value tree = Value::map();
  tree.set(key, value);
  Problems problems;
  const Numbers numbers = bind<Numbers>(tree, problems);
  if (!problems.ok()) return problems.errors()[0].what;
  return to_value(numbers).find_path(key)->text;
}
std::string outcome(const std::string& key, const std::string& text) {
  return outcome(key, Value::scalar(text));
}

TEST(TypeEdges, EveryWidthHasItsRange) {
  EXPECT_EQ(outcome("i8", "-128"), "-128");
  EXPECT_EQ(outcome("i8", "128"), "i8 must be at most 127; got 128");
  EXPECT_EQ(outcome("u8", "255"), "255");
  EXPECT_EQ(outcome("u8", "256"), "u8 must be at most 255; got 256");
  EXPECT_EQ(outcome("u8", "-1"), "u8 must be a whole number >= 0; got '-1', which is out of range");
  EXPECT_EQ(outcome("i16", "32767"), "32767");
  EXPECT_EQ(outcome("i16", "32768"), "i16 must be at most 32767; got 32768");
  EXPECT_EQ(outcome("u16", "65535"), "65535");
  EXPECT_EQ(outcome("u16", "65536"), "u16 must be at most 65535; got 65536");
  EXPECT_EQ(outcome("i32", "2147483648"), "i32 must be at most 2147483647; got 2147483648");
  EXPECT_EQ(outcome("u32", "4294967295"), "4294967295");
  EXPECT_EQ(outcome("u32", "4294967296"), "u32 must be at most 4294967295; got 4294967296");
  EXPECT_EQ(outcome("real", "0.5"), "0.5");
  EXPECT_EQ(outcome("real", "x"), "real must be a number; got 'x'");
  EXPECT_EQ(outcome("i8", "0"), "i8: is the same");
}

TEST(TypeEdges, OneSidedRangesAndInfinity) {
  EXPECT_EQ(outcome("below", "5"), "5");
  EXPECT_EQ(outcome("below", "5.1"), "below must be <= 5; got 5.1");
  EXPECT_EQ(outcome("above", "inf"), "inf");
  EXPECT_EQ(outcome("above", "-1"), "above must be >= 0; got -1");
}

struct Inner {
  int needed = 0, other = 0;
  static void describe(Fields<Inner>& f) {
    f("needed", &Inner::needed, "").required();
    f("other", &Inner::other, "");
    f.check([](const Inner& inner, Checker& c) {
      if (inner.needed != inner.other) c.fail("other", "must be needed");
    });
  }
};
struct Outer {
  Inner inner;
  static void describe(Fields<Outer>& f) { f("inner", &Outer::inner, ""); }
};

// A tree made by a program has no places; errors then stand at the key above that has one.
TEST(TypeEdges, ErrorsOfATreeWithoutPlaces) {
  const auto source = std::make_shared<Source>(Source{Source::Kind::file, "p", {}});
  const auto error = [&](Value inner) {
    Value tree = Value::map();
    tree.set("inner", std::move(inner));
    tree.entries[0].origin = {source, 3, 4, 5, {}};
    Problems problems;
    bind<Outer>(tree, problems);
    EXPECT_EQ(problems.error_count(), 1u);
    EXPECT_EQ(problems.errors()[0].origin.line, 3);
    return problems.errors()[0].what;
  };
  EXPECT_THAT(error(Value::map()), HasSubstr("missing key 'needed'"));
  EXPECT_THAT(error(Value::scalar("x")), HasSubstr("inner must be a map"));
  Value unequal = Value::map();
  unequal.set("needed", Value::scalar("1"));
  EXPECT_THAT(error(unequal), HasSubstr("inner.other: must be needed"));
}

TEST(TypeEdges, KeysOfTheLoaderAreNotTheStructs) {
  Value tree = Value::map();
  tree.set("version", Value::scalar("1"));
  tree.set("model", Value::scalar("mlp"));
  tree.set("extends", Value::scalar("b.yaml"));
  Problems problems;
  bind<Root>(tree, problems);
  EXPECT_TRUE(problems.ok());
}

TEST(TypeEdges, Words) {
  EXPECT_EQ(type_text(detail::any_type()), "anything");
  Type list;
  list.kind = TypeKind::list;
  EXPECT_EQ(type_text(list), "a list");
  Type below = detail::real_type(false);
  below.high = 1;
  below.high_open = true;
  EXPECT_EQ(type_text(below), "a number < 1");
}

TEST(TypeEdges, ListsAndValuesKeptAsWritten) {
  EXPECT_EQ(outcome("some", Value::list()), "some must have at least 1 item; got 0");
  Value two = Value::list();
  two.items = {Value::scalar("1"), Value::scalar("2")};
  EXPECT_EQ(outcome("one", two), "one must have 1 item; got 2");
  EXPECT_EQ(outcome("kept", "as it is"), "as it is");
  EXPECT_THAT(outcome("some", Value::map()), HasSubstr("a list, each item a whole number"));
  EXPECT_THAT(outcome("one", Value::map()), HasSubstr("a list of 1, each a number"));
}

}  // namespace
}  // namespace sing::config
