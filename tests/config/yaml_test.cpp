#include "sing/config/yaml.h"

#include <gtest/gtest.h>

#include "sing/config/diagnostic.h"

namespace sing::config {
namespace {

struct Outcome {
  std::optional<Value> tree;
  Problems problems;
  std::string first() const { return problems.ok() ? "" : problems.errors()[0].code; }
  int line() const { return problems.ok() ? 0 : problems.errors()[0].origin.line; }
  int column() const { return problems.ok() ? 0 : problems.errors()[0].origin.column; }
};

Outcome read(const std::string& text, const YamlLimits& limits = {}) {
  Outcome result;
  result.tree = read_yaml(text, "t.yaml", result.problems, limits);
  return result;
}

TEST(Yaml, ScalarsStayText) {
  const auto r =
      read("a: no\nb: 010\nc: 1e3\nd: \"1\"\ne: null\nf: ~\ng: Null\nh: 'null'\ni: 0x1F\n");
  ASSERT_TRUE(r.tree && r.problems.ok());
  for (const auto& [key, text] : std::vector<std::pair<std::string, std::string>>{{"a", "no"},
                                                                                  {"b", "010"},
                                                                                  {"c", "1e3"},
                                                                                  {"d", "1"},
                                                                                  {"f", "~"},
                                                                                  {"g", "Null"},
                                                                                  {"h", "null"},
                                                                                  {"i", "0x1F"}}) {
    ASSERT_TRUE(r.tree->find(key)->is_scalar()) << key;
    EXPECT_EQ(r.tree->find(key)->text, text);
  }
  EXPECT_TRUE(r.tree->find("e")->is_null()) << "only null is null";
  EXPECT_TRUE(r.tree->find("d")->quoted);
  EXPECT_FALSE(r.tree->find("a")->quoted);
}

TEST(Yaml, NothingWrittenIsNotNull) {
  for (const char* text :
       {"a:\nb: 1\n", "a:\nnull: 1\n", "{a: , b: 1}", "a:", "a: # later\nb: 1"}) {
    const auto r = read(text);
    ASSERT_TRUE(r.tree && r.problems.ok()) << text;
    ASSERT_TRUE(r.tree->find("a")->is_null()) << text;
    EXPECT_EQ(r.tree->find("a")->text, "") << text;
  }
  for (const char* text : {"a: null\nb: 1", "{a: null, b: 1}", "{a: null}", "a: null # none"})
    EXPECT_EQ(read(text).tree->find("a")->text, "null") << text;
}

TEST(Yaml, EveryNodeKnowsItsPlace) {
  const auto r =
      read("# first\na: 1\nlist:\n  - x\n  - {k: v, w: [1, 22]}\n\"q\": |\n  text\nö: é\n");
  ASSERT_TRUE(r.tree && r.problems.ok());
  const auto at = [&](const char* path) {
    const Value* value = r.tree->find_path(path);
    return value ? std::pair(value->origin.line, value->origin.column) : std::pair(0, 0);
  };
  EXPECT_EQ(at("a"), std::pair(2, 4));
  EXPECT_EQ(at("list.0"), std::pair(4, 5));
  EXPECT_EQ(at("list.1"), std::pair(5, 5));
  EXPECT_EQ(at("list.1.k"), std::pair(5, 9));
  EXPECT_EQ(at("list.1.w.1"), std::pair(5, 19));
  EXPECT_EQ(at("q"), std::pair(6, 6));
  EXPECT_EQ(at("ö"), std::pair(8, 4)) << "columns count characters, not bytes";
  EXPECT_EQ(r.tree->find_entry("list")->origin.line, 3);
  EXPECT_EQ(r.tree->find_path("list.1")->find_entry("w")->origin.column, 12);
  EXPECT_EQ(r.tree->find_path("list.1.w.1")->origin.length, 2);
  EXPECT_EQ(r.tree->find("q")->text, "text\n");
  EXPECT_EQ(r.tree->origin.source->lines[1], "a: 1");
}

TEST(Yaml, LineEndingsAndMarksOfOrder) {
  const auto dos = read("a: 1\r\nb:\r\n  c: 2\r\n");
  ASSERT_TRUE(dos.tree && dos.problems.ok());
  EXPECT_EQ(dos.tree->find_path("b.c")->origin.line, 3);
  EXPECT_EQ(dos.tree->find_path("b.c")->text, "2");
  EXPECT_EQ(dos.tree->origin.source->lines[0], "a: 1");
  const auto bom = read(
      "\xEF\xBB\xBF"
      "a: 1\n");
  ASSERT_TRUE(bom.tree && bom.problems.ok());
  EXPECT_EQ(bom.tree->find_entry("a")->origin.column, 1);
  const auto start = read("---\na: 1\n...\n");
  EXPECT_TRUE(start.tree && start.problems.ok());
}

TEST(Yaml, EmptyIsAnEmptyMap) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n", "null"}) {
    const auto r = read(text);
    ASSERT_TRUE(r.tree && r.problems.ok()) << text;
    EXPECT_TRUE(r.tree->is_map() && r.tree->entries.empty()) << text;
  }
}

TEST(Yaml, RefusesWhatIsNotPlainData) {
  const struct {
    const char* text;
    const char* code;
    int line, column;
  } cases[] = {
      {"a: &x 1\nb: 2", code::kRefusedYaml, 1, 4},
      {"a: &x {b: 1}", code::kRefusedYaml, 1, 4},
      {"a: &x [b]", code::kRefusedYaml, 1, 4},
      {"a: &x\n", code::kRefusedYaml, 1, 4},
      {"&a [*a]", code::kRefusedYaml, 1, 1},
      {"a: *x", code::kRefusedYaml, 1, 4},
      {"a: &x 1\nb: *x", code::kRefusedYaml, 1, 4},
      {"a: !!str 1", code::kRefusedYaml, 1, 4},
      {"a: !x 1", code::kRefusedYaml, 1, 4},
      {"a: ! 1", code::kRefusedYaml, 1, 4},
      {"a: !!map {b: 1}", code::kRefusedYaml, 1, 4},
      {"a: !<tag:x> [1]", code::kRefusedYaml, 1, 4},
      {"a: !!null null", code::kRefusedYaml, 1, 4},
      {"b: 1\n<<: {a: 1}", code::kRefusedYaml, 2, 1},
      {"b: {<<: 1}", code::kRefusedYaml, 1, 5},
      {"a: 1\n---\nb: 2", code::kRefusedYaml, 2, 1},
      {"? [a, b]\n: 1", code::kRefusedYaml, 1, 3},
      {"{[a]: 1}", code::kRefusedYaml, 1, 2},
      {"a: 1\na: 2", code::kDuplicateKey, 2, 1},
      {"m: {x: 1, y: 2, x: 3}", code::kDuplicateKey, 1, 17},
      {"m: {x: 1, \"x\": 3}", code::kDuplicateKey, 1, 11},
      {"m:\n  - {x: 1, x: {y: 1}}", code::kDuplicateKey, 2, 12},
      {"a: [1, 2", code::kSyntax, 0, 0},
      {"a: 1\n b: 2", code::kSyntax, 2, 3},
      {"a: \"x", code::kSyntax, 0, 0},
      {"a: {b: 1", code::kSyntax, 0, 0},
      {"a: 1\n\tb: 2", code::kSyntax, 0, 0},
      {"a: b: c", code::kSyntax, 1, 5},
      {"a: @x", code::kSyntax, 0, 0},
      {"a: 1]", nullptr, 0, 0},
      {"- a\nb: 1", code::kSyntax, 0, 0},
      {"a: \"\\q\"", code::kSyntax, 0, 0},
      {"a: \xFF", code::kSyntax, 1, 4},
      {"a: \x01", code::kSyntax, 1, 4},
      {"a: \xC0\x80", code::kSyntax, 1, 4},
      {"\xFF\xFE"
       "a",
       code::kSyntax, 1, 1},
  };
  for (const auto& c : cases) {
    const auto r = read(c.text);
    if (!c.code) {
      EXPECT_TRUE(r.problems.ok()) << c.text;
      continue;
    }
    EXPECT_EQ(r.first(), c.code) << c.text;
    EXPECT_GT(r.line(), 0) << c.text;
    if (c.line > 0) {
      EXPECT_EQ(r.line(), c.line) << c.text;
      EXPECT_EQ(r.column(), c.column) << c.text;
    }
  }
  EXPECT_EQ(read(std::string("a: \0b", 5)).first(), code::kSyntax);
}

TEST(Yaml, ReportsAllRefusalsOfAFile) {
  const auto r = read("a: &x 1\nb: !t 2\na: 3\n<<: 4\nc: [5, !u 6]\n");
  EXPECT_EQ(r.problems.error_count(), 5u);
  ASSERT_TRUE(r.tree);
  EXPECT_EQ(r.tree->find("a")->text, "1") << "the first one, so that reading can go on";
}

TEST(Yaml, LimitsHoldAtTheirEdges) {
  const YamlLimits small{.bytes = 100, .depth = 3, .nodes = 10, .scalar_bytes = 30};
  EXPECT_TRUE(read("a: [[1]]", small).problems.ok());
  EXPECT_EQ(read("a: [[[1]]]", small).first(), code::kTooLarge);
  EXPECT_EQ(read("a: [[{b: 1}]]", small).first(), code::kTooLarge);
  EXPECT_TRUE(read("a: " + std::string(27, 'x'), small).problems.ok());
  EXPECT_EQ(read("a: " + std::string(28, 'x'), small).first(), code::kTooLarge) << "a long line";
  const auto block = read("a: |\n xxxxxxxxxx\n xxxxxxxxxx\n xxxxxxxx", small);
  EXPECT_TRUE(block.problems.ok()) << "30 bytes";
  const auto longer = read("a: |\n xxxxxxxxxx\n xxxxxxxxxx\n xxxxxxxxx", small);
  EXPECT_EQ(longer.first(), code::kTooLarge) << "31 bytes, in short lines";
  EXPECT_TRUE(read("a: [1, 2, 3, 4, 5, 6, 7]", small).problems.ok()) << "10 nodes with the maps";
  EXPECT_EQ(read("a: [1, 2, 3, 4, 5, 6, 7, 8]", small).first(), code::kTooLarge);
  const std::string comments = "a: 1\n" + std::string(24, '#') + "\n" + std::string(24, '#') +
                               "\n" + std::string(24, '#') + "\n" + std::string(20, '#');
  EXPECT_TRUE(read(comments, small).problems.ok()) << "100 bytes";
  EXPECT_EQ(read(comments + "#", small).first(), code::kTooLarge);
  const auto deep = read("a: [[[1]]]", small);
  EXPECT_FALSE(deep.tree) << "half a tree would only confuse";
  EXPECT_EQ(deep.column(), 6);
}

// Each of these brought another reader down or cost it seconds.
TEST(Yaml, HostileTextsAreRefused) {
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb +=
        "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + ", " + last + "]\n";
  }
  EXPECT_EQ(read(bomb).first(), code::kRefusedYaml);
  EXPECT_EQ(read(std::string(10000, '[')).first(), code::kTooLarge);
  EXPECT_EQ(read(std::string(500000, '[')).first(), code::kTooLarge);
  EXPECT_EQ(read(std::string(500000, '{')).first(), code::kTooLarge);
  std::string block;
  for (int i = 0; i < 200; ++i) block += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_EQ(read(block).first(), code::kTooLarge);
  std::string dashes;
  for (int i = 0; i < 1000; ++i) dashes += "- ";
  EXPECT_EQ(read(dashes).first(), code::kTooLarge);
  EXPECT_EQ(read("a: " + std::string(size_t{1} << 20, 'x')).first(), code::kTooLarge);
  EXPECT_EQ(read("a: " + std::string(size_t{900} << 10, 'x')).first(), code::kTooLarge);
  EXPECT_EQ(read("a: \"" + std::string(size_t{900} << 10, '\\') + "\"").first(), code::kTooLarge);
  std::string keys;
  for (int i = 0; i < 9000; ++i) keys += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(read(keys).first(), code::kTooLarge) << "two nodes a key";
  std::string same;
  for (int i = 0; i < 4000; ++i) same += "k: 1\n";
  const auto duplicates = read(same);
  EXPECT_EQ(duplicates.problems.error_count(), 3999u);
  EXPECT_LE(duplicates.problems.errors().size(), 100u) << "counted, not listed";
  EXPECT_FALSE(read(std::string(300000, '&')).problems.ok());
  EXPECT_FALSE(read(std::string(300000, '"')).problems.ok());
  EXPECT_FALSE(read(std::string(300000, ':')).problems.ok());
  EXPECT_FALSE(read("%YAML 9.9\n---\na: 1").problems.ok());
  std::string open_lists;
  for (int i = 0; i < 200000; ++i) open_lists += "[\n";
  EXPECT_EQ(read(open_lists).first(), code::kTooLarge);
}

TEST(Yaml, OverrideValues) {
  const auto value = [](const std::string& text) {
    Problems problems;
    const auto word = std::make_shared<const Source>(
        Source{Source::Kind::override_word, "k=" + text, {"k=" + text}});
    auto result = read_override_value(word, 2, problems);
    return problems.ok() ? result : std::nullopt;
  };
  EXPECT_EQ(value("1e-3")->text, "1e-3");
  EXPECT_EQ(value("a: b")->text, "a: b") << "a plain word is taken as it stands";
  EXPECT_EQ(value("a # b")->text, "a # b");
  EXPECT_EQ(value("a=b")->text, "a=b");
  EXPECT_TRUE(value("null")->is_null());
  EXPECT_TRUE(value("'null'")->is_scalar());
  EXPECT_EQ(value("\"a b\"")->text, "a b");
  EXPECT_EQ(value("[1, [2, 3]]")->items[1].items[0].text, "2");
  EXPECT_EQ(value("{name: sgd, lr: 1}")->find("lr")->text, "1");
  EXPECT_EQ(value("[1, 22]")->items[1].origin.column, 7) << "counted in the whole word";
  EXPECT_TRUE(value("")->is_null());
  EXPECT_FALSE(value("[1"));
  EXPECT_FALSE(value("[1] x"));
  EXPECT_FALSE(value("{a: &x 1}"));
  EXPECT_FALSE(value("a\nb"));
  EXPECT_FALSE(value("{a: 1, a: 2}"));
  EXPECT_FALSE(value("\xFF"));
}

}  // namespace
}  // namespace sing::config
