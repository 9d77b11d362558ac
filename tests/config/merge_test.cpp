#include <gtest/gtest.h>

#include <cstdlib>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/load.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::AdamOptions;
using example::Root;

Value yaml(const std::string& text) {
  Problems problems;
  const auto tree = read_yaml(text, "t.yaml", problems);
  EXPECT_TRUE(tree && problems.ok()) << text;
  return *tree;
}

std::string merged(const std::string& base, const std::string& over) {
  Value value = yaml(base);
  merge(value, yaml(over));
  return to_yaml_line(value);
}

TEST(Merge, MapsDeeplyTheRestWhole) {
  EXPECT_EQ(merged("a: {b: 1, c: 2}", "a: {c: 3, d: 4}"), "{a: {b: 1, c: 3, d: 4}}");
  EXPECT_EQ(merged("a: [1, 2]", "a: [3]"), "{a: [3]}");
  EXPECT_EQ(merged("a: {b: 1}", "a: 2"), "{a: 2}");
  EXPECT_EQ(merged("a: {b: 1}", "a: null"), "{a: null}");
  EXPECT_EQ(merged("a: null", "a: {b: 1}"), "{a: {b: 1}}");
  EXPECT_EQ(merged("a: 1", "b: 2"), "{a: 1, b: 2}");
}

TEST(Merge, ChangedNameStartsEmpty) {
  EXPECT_EQ(merged("h: {name: a, x: 1}", "h: {name: b, y: 2}"), "{h: {name: b, y: 2}}");
  EXPECT_EQ(merged("h: {name: a, x: 1}", "h: {name: a, y: 2}"), "{h: {name: a, x: 1, y: 2}}");
  EXPECT_EQ(merged("h: {name: a, x: 1}", "h: {y: 2}"), "{h: {name: a, x: 1, y: 2}}");
  EXPECT_EQ(merged("h: {name: a, x: 1}", "h: b"), "{h: b}");
  EXPECT_EQ(merged("h: {name: a, x: 1}", "h: a"), "{h: {name: a, x: 1}}");
  EXPECT_EQ(merged("h: a", "h: {y: 2}"), "{h: {name: a, y: 2}}");
  EXPECT_EQ(merged("h: a", "h: {name: b, y: 2}"), "{h: {name: b, y: 2}}");
  EXPECT_EQ(merged("name: a\nx: 1", "name: b"), "{name: b, x: 1}") << "the run's own name";
}

class Extends : public ::testing::Test {
 protected:
  std::string code(const std::string& file) const {
    try {
      load<Root>({{file}, {}, {}, {}});
    } catch (const ConfigErrors& e) {
      return e.code() + " " + place(e.diagnostics()[0].origin);
    }
    return "accepted";
  }
  testing::ConfigFolder folder_;
};

TEST_F(Extends, ThreeFilesAndOverridesWithTheOriginOfEachValue) {
  const std::string base = folder_.write("base/base.yaml", example::kFull);
  const std::string data =
      folder_.write("base/data.yaml", "data: {preset: tiny,\n  batch_size: 8}\n");
  const std::string top = folder_.write("top.yaml", R"(extends: [base/base.yaml, base/data.yaml]
optimizer:
  host: {lr: 0.1}
data: {max_bad: 2%}
train: {device: "${env:SING_DEVICE:-cpu}"}
)");
  const LoadRequest request{{top}, {"data.batch_size=16", "optimizer.transforms+=sing"}, {}, {}};
  const auto loaded = load<Root>(request);
  const Root& c = loaded.config;
  EXPECT_EQ(c.data.preset, "tiny");
  EXPECT_EQ(c.data.batch_size, 16);
  EXPECT_EQ(c.data.train_size, 50000);
  EXPECT_EQ(c.data.max_bad, 0.02);
  EXPECT_EQ(c.optimizer.host.options_as<AdamOptions>()->lr, 0.1);
  EXPECT_EQ(c.optimizer.host.options_as<AdamOptions>()->weight_decay, 0.05);
  const auto from = [&](const char* path) {
    const Value* value = loaded.written.find_path(path);
    return value ? origin_comment(value->origin) : "default";
  };
  EXPECT_EQ(from("seed"), base + ":2");
  EXPECT_EQ(from("data.preset"), data + ":1");
  EXPECT_EQ(from("data.train_size"), base + ":4");
  EXPECT_EQ(from("data.batch_size"), "override");
  EXPECT_EQ(from("data.max_bad"), top + ":4");
  EXPECT_EQ(from("optimizer.host.lr"), top + ":3");
  EXPECT_EQ(from("optimizer.host.name"), base + ":7");
  EXPECT_EQ(from("optimizer.host.eps"), "default");
  EXPECT_EQ(from("optimizer.transforms.1"), "override");
  EXPECT_EQ(from("train.device"), top + ":5, environment SING_DEVICE (not set)");
  const std::string printed = loaded.print_origin();
  for (const std::string& line :
       std::vector<std::string>{"  batch_size: 16  # override\n", "seed: 1  # " + base + ":2\n",
                                "    lr: 0.1  # " + top + ":3\n", "    eps: 1e-8  # default\n",
                                "    - name: sing  # " + base + ":6\n"})
    EXPECT_NE(printed.find(line), std::string::npos) << line << printed;
}

TEST_F(Extends, ChangedNameDropsOldOptions) {
  folder_.write("base.yaml", example::kFull);
  const auto sgd = load<Root>(
      {{folder_.write("sgd.yaml", "extends: base.yaml\noptimizer: {host: {name: sgd, lr: 0.5}}\n")},
       {},
       {},
       {}});
  const auto* options = sgd.config.optimizer.host.options_as<example::SgdOptions>();
  ASSERT_TRUE(options);
  EXPECT_EQ(options->lr, 0.5);
  EXPECT_EQ(options->weight_decay, 0) << "adamw's decay does not leak";
}

TEST_F(Extends, LaterFilesWin) {
  const auto a = folder_.write("a.yaml", "version: 1\nmodel: mlp\nseed: 1\n");
  const auto b = folder_.write("b.yaml", "seed: 2\n");
  EXPECT_EQ(load<Root>({{a, b}, {}, {}, {}}).config.seed, 2u);
  EXPECT_EQ(load<Root>({{b, a}, {}, {}, {}}).config.seed, 1u);
  const auto list = folder_.write("c.yaml", "extends: [a.yaml, b.yaml]\n");
  EXPECT_EQ(load<Root>({{list}, {}, {}, {}}).config.seed, 2u);
}

TEST_F(Extends, RefusesCyclesAndWhatIsNotThere) {
  const auto a = folder_.write("a.yaml", "extends: b.yaml\nversion: 1\n");
  const auto b = folder_.write("b.yaml", "seed: 1\nextends: [sub/../a.yaml]\n");
  folder_.write("sub/x.yaml", "");
  EXPECT_EQ(code(a), "E0213 " + b + ":2:11");
  const auto self = folder_.write("self.yaml", "extends: self.yaml\n");
  EXPECT_EQ(code(self), "E0213 " + self + ":1:10");
  const auto gone = folder_.write("gone.yaml", "extends: nothing.yaml\n");
  EXPECT_EQ(code(gone), "E0213 " + gone + ":1:10");
  const auto map = folder_.write("map.yaml", "extends: {a: b}\n");
  EXPECT_EQ(code(map), "E0213 " + map + ":1:10");
  const auto null = folder_.write("null.yaml", "extends: [null]\n");
  EXPECT_EQ(code(null), "E0213 " + null + ":1:11");
  const auto list = folder_.write("list.yaml", "- a\n- b\n");
  EXPECT_EQ(code(list), "E0207 " + list + ":1:1");
  EXPECT_EQ(code(folder_.path("missing.yaml")), "E0217 " + folder_.path("missing.yaml"));
  EXPECT_EQ(code(folder_.path("sub")), "E0217 " + folder_.path("sub"));
  const auto broken = folder_.write("broken.yaml", "extends: bad.yaml\n");
  const auto bad = folder_.write("bad.yaml", "a: [1\n");
  EXPECT_EQ(code(broken).substr(0, 6 + bad.size()), "E0202 " + bad);
  // Files that extend each other twice grow as 2^n: the number of files has a limit.
  for (int i = 0; i < 30; ++i) {
    const std::string next = "n" + std::to_string(i + 1) + ".yaml";
    folder_.write("n" + std::to_string(i) + ".yaml", "extends: [" + next + ", " + next + "]\n");
  }
  folder_.write("n30.yaml", "seed: 1\n");
  EXPECT_EQ(code(folder_.path("n0.yaml")).substr(0, 5), "E0213");
}

class References : public ::testing::Test {
 protected:
  Loaded<Root> with(const std::string& text) const {
    return load<Root>({{folder_.write("a.yaml", "version: 1\nmodel: mlp\n" + text)},
                       {},
                       {},
                       [](const std::string& name) -> std::optional<std::string> {
                         if (name == "ONE") return "1";
                         if (name == "EMPTY") return "";
                         if (name == "TRICKY") return "${seed}";
                         return std::nullopt;
                       }});
  }
  std::string code(const std::string& text) const {
    try {
      with(text);
    } catch (const ConfigErrors& e) {
      return e.code() + " x" + std::to_string(e.count());
    }
    return "accepted";
  }
  testing::ConfigFolder folder_;
};

TEST_F(References, AreReplaced) {
  EXPECT_EQ(with("seed: ${env:ONE}").config.seed, 1u);
  EXPECT_EQ(with("seed: ${env:TWO:-2}").config.seed, 2u);
  EXPECT_EQ(with("seed: ${env:ONE:-2}").config.seed, 1u);
  EXPECT_EQ(with("name: \"run-${env:EMPTY}${env:ONE}-${seed}\"\nseed: 7").config.name, "run-1-7");
  EXPECT_EQ(with("name: a-${data.preset}\ndata: {preset: tiny}").config.name, "a-tiny");
  EXPECT_EQ(with("name: ${data.preset}").config.name, "full") << "a default serves too";
  EXPECT_EQ(with("name: ${model.name}").config.name, "mlp") << "a bare word is a name";
  EXPECT_EQ(
      with("name: ${optimizer.host.betas.1}\noptimizer: {host: {name: adamw, betas: [0, 0.5]}}")
          .config.name,
      "0.5");
  EXPECT_EQ(with("name: ${train.device}\ntrain: {device: \"${data.preset}\"}\ndata: {preset: tiny}")
                .config.name,
            "tiny")
      << "through another reference";
  EXPECT_EQ(with("name: ${env:NO:-null}").config.name, std::nullopt);
  EXPECT_EQ(with("name: $x {y} $").config.name, "$x {y} $") << "only ${ starts a reference";
}

TEST_F(References, AreRefusedOnce) {
  for (const char* text :
       {"seed: ${env:TWO}", "seed: ${nothing}", "seed: ${seed}", "seed: ${", "seed: ${}",
        "seed: ${env:}", "seed: ${env:1A}", "seed: ${ENV:ONE}", "seed: ${env:TRICKY}",
        "seed: ${env:TWO:-${seed}}", "name: ${data}", "name: ${metrics}", "seed: ${eval:1+1}"})
    EXPECT_EQ(code(text), "E0214 x1") << text;
  EXPECT_EQ(code("seed: ${data.batch_size}\ndata: {batch_size: \"${seed}\"}").substr(0, 5),
            "E0214");
  std::string chain = "expect:\n  k0: 1\n";
  for (int i = 1; i < 3000; ++i)
    chain += "  k" + std::to_string(i) + ": ${expect.k" + std::to_string(i - 1) + "}\n";
  EXPECT_EQ(code(chain), "accepted") << "each one is replaced before the next";
  std::string backwards = "expect:\n";
  for (int i = 0; i < 3000; ++i)
    backwards += "  k" + std::to_string(i) + ": ${expect.k" + std::to_string(i + 1) + "}\n";
  EXPECT_EQ(code(backwards + "  k3000: 1\n").substr(0, 5), "E0214") << "no deep recursion";
  std::string grows = "expect:\n  k0: \"xxxxxxxxxxxxxxxx\"\n";
  for (int i = 1; i < 40; ++i) {
    const std::string last = "${expect.k" + std::to_string(i - 1) + "}";
    grows += "  k" + std::to_string(i) + ": \"" + last + last + "\"\n";
  }
  Problems problems;
  Value tree = yaml(grows);
  interpolate(
      tree, Value::map(), [](const std::string&) { return std::nullopt; }, problems);
  EXPECT_FALSE(problems.ok()) << "doubling 40 times must end early";
}

}  // namespace
}  // namespace sing::config
