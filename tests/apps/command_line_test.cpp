// Help, exit codes, output streams, shipped configs: what people meet first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sing/core/json.h"
#include "sing/data/image_io.h"
#include "sing/tensor/safetensors.h"
#include "support/program.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::run_program;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

std::string config_path(const std::string& name) {
  return std::string(SING_SOURCE_DIR) + "/configs/" + name;
}

std::vector<std::string> shipped() {
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(SING_SOURCE_DIR) + "/configs"))
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  return paths;
}

std::string read_text(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

TEST(Help, IsQuickAndOnStdout) {
  for (const char* verb : {"train", "eval", "predict", "data", "check", "summary", "ls", "show",
                           "replay", "explain", "schema", "doctor"}) {
    const test::Finished help = run_program("sing", {verb, "--help"});
    EXPECT_EQ(help.code, 0) << verb;
    EXPECT_THAT(help.output, HasSubstr(std::string("usage: sing ") + verb));
    EXPECT_THAT(help.output, HasSubstr("'sing explain KEY' describes any config key"));
    EXPECT_EQ(help.error, "");
  }
  // Processor time of the whole process, not wall time: the promise is "feels instant".
  EXPECT_LT(run_program("sing-train", {"--help"}).cpu_seconds, 0.05);
  EXPECT_LT(run_program("sing", {"--version"}).cpu_seconds, 0.05);
  EXPECT_THAT(run_program("sing-train", {"--version"}).output, HasSubstr("sing 0."));
}

TEST(Summary, SaysWhatGroupsFreeze) {
  const std::string configs = std::string(SING_SOURCE_DIR) + "/configs/";
  const std::string line = "of these frozen by optimizer.groups: 19,200 in 50 tensors";
  EXPECT_THAT(run_program("sing", {"summary", configs + "rde_vit_s_frozen.yaml"}).output,
              HasSubstr(line));
  EXPECT_THAT(run_program("sing", {"summary", configs + "rde_vit_s.yaml"}).output,
              ::testing::Not(HasSubstr("frozen")));
}

TEST(Usage, MistakesEndWithCode2AndAHint) {
  const auto expect = [](const std::vector<std::string>& words, const std::string& text) {
    const test::Finished run = run_program("sing", words);
    EXPECT_EQ(run.code, 2) << text;
    EXPECT_THAT(run.error, HasSubstr(text));
    EXPECT_EQ(run.output, "");
  };
  expect({"trian"}, "did you mean 'sing train'?");
  expect({"train", "--confg", "x"}, "did you mean '--config'?");
  expect({"train"}, "no config");
  expect({"train", "-c", "x.yaml", "stray"}, "neither a flag nor key=value");
  expect({"train", "-c"}, "--config wants a value");
  expect({"train", "-c", "none.yaml"}, "none.yaml");
  expect({"train", "-c", config_path("quickstart.yaml"), "--max-steps", "none"},
         "--max-steps wants");
  expect({"show", "quikstart"}, "did you mean 'quickstart'?");
  expect({"explain", "wieght_decay"}, "weight_decay");
}

TEST(Usage, MisspeltKeyShowsPlaceAndSuggestion) {
  const TemporaryFolder folder;
  std::string text = test::toy_config();
  text.replace(text.find("weight_decay"), 12, "wieght_decay");
  std::ofstream(folder / "bad.yaml") << text;
  const test::Finished run = run_program("sing-train", {"-c", folder / "bad.yaml"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.error, HasSubstr("sing-train: error[E0201]: unknown key 'wieght_decay'"));
  EXPECT_THAT(run.error, HasSubstr("bad.yaml:8:33"));
  EXPECT_THAT(run.error, HasSubstr("^^^^^^^^^^^^ did you mean 'weight_decay'?"));
  EXPECT_THAT(run.error, HasSubstr("keys of adamw: "));
  EXPECT_THAT(run.error, HasSubstr("1 error; nothing was started"));
  EXPECT_FALSE(std::filesystem::exists("runs/bad"));
}

TEST(Configs, ShippedOnesPassTheCheck) {
  std::vector<std::string> words = {"check"};
  for (const std::string& path : shipped()) words.push_back(path);
  const test::Finished run = run_program("sing", words);
  EXPECT_EQ(run.code, 0) << run.error;
}

TEST(Configs, DryRunShowsParametersAndMemory) {
  for (const char* name : {"quickstart.yaml", "rde_vit_s.yaml"}) {
    const test::Finished run = run_program("sing-train", {"-c", config_path(name), "--dry-run"});
    EXPECT_EQ(run.code, 0) << run.error;
    EXPECT_THAT(run.output, HasSubstr("memory   "));
    EXPECT_THAT(run.output, HasSubstr("patch_embed.proj.weight"));
    EXPECT_THAT(run.output, HasSubstr("ok: nothing was started"));
  }
}

TEST(Configs, PrintedConfigGivesTheSameConfig) {
  const TemporaryFolder folder;
  for (const char* form : {"full", "minimal"}) {
    const test::Finished printed =
        run_program("sing-train", {"-c", config_path("rde_vit_s_adamw.yaml"),
                                   std::string("--print-config=") + form, "seed=7"});
    ASSERT_EQ(printed.code, 0) << printed.error;
    std::ofstream(folder / "again.yaml") << printed.output;
    const test::Finished again = run_program(
        "sing-train", {"-c", folder / "again.yaml", std::string("--print-config=") + form});
    EXPECT_EQ(printed.output, again.output);
  }
  const test::Finished origin = run_program(
      "sing-train", {"-c", config_path("rde_vit_s_adamw.yaml"), "--print-config=origin", "seed=7"});
  EXPECT_THAT(origin.output, HasSubstr("override"));
  EXPECT_THAT(origin.output, HasSubstr("rde_vit_s.yaml:"));
}

TEST(Configs, SmokePassesForTheQuickstartAndItsTwin) {
  for (const char* name : {"quickstart.yaml", "quickstart_adamw.yaml"}) {
    const test::Finished run = run_program("sing-train", {"-c", config_path(name), "--smoke"});
    EXPECT_EQ(run.code, 0) << run.error;
    EXPECT_THAT(run.output, HasSubstr("smoke ok"));
  }
}

// The configs of the paper's tables with a network that takes no time: what is tried is the
// optimizer of each, through training, saving and reading back.
TEST(Configs, SmokePassesForEveryOneOfThem) {
  // Checkpoints are flushed to the disk; where there is a folder in memory that costs nothing.
  std::vector<std::string> where;
  if (std::filesystem::is_directory("/dev/shm")) where.push_back("TMPDIR=/dev/shm");
  size_t tried = 0;
  for (const std::string& path : shipped()) {
    const std::string name = std::filesystem::path(path).stem();
    if (name.starts_with("quickstart")) continue;  // in their full size above
    std::vector<std::string> words = {"-c", path, "--smoke"};
    if (name.starts_with("rde_vit")) {
      words.push_back("model={name: vit, patch: 8, dim: 8, depth: 1, num_heads: 1}");
      words.push_back("data={name: rde, preset: quick, workers: 0}");
    }
    const test::Finished run = run_program("sing-train", words, where);
    EXPECT_EQ(run.code, 0) << name << ": " << run.error;
    EXPECT_THAT(run.output, HasSubstr("smoke ok")) << name;
    ++tried;
  }
  EXPECT_GE(tried, 30u);
}

TEST(HostSweep, TrainsAndWritesItsTable) {
  const TemporaryFolder folder;
  const std::string command = std::string(SING_SOURCE_DIR) + "/tools/host_sweep.sh -n 2 -j 2 -b " +
                              SING_BINARY_DIR + " -o " + folder.path() + " sgd >" +
                              (folder / "log") + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << read_text(folder / "log");
  const std::string page = read_text(folder / "hosts.md");
  EXPECT_THAT(page, ::testing::ContainsRegex("\\| sgd \\| [0-9.]+ % \\| [0-9.]+ % \\| [0-9.]+ \\| "
                                             "[0-9e-]+ \\| [0-9.]+ % \\| [0-9.]+ % "));
  EXPECT_THAT(page, HasSubstr("6 runs."));
}

TEST(Output, NoEscapesOffATerminal) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  const test::Finished run =
      run_program("sing-train", {"-c", folder / "toy.yaml", "-o", folder / "runs"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.output, "") << "progress belongs on stderr";
  EXPECT_EQ(run.error.find_first_of("\x1b\r"), std::string::npos);
  EXPECT_THAT(run.error, HasSubstr(" eval   step="));
  const std::string latest = folder / "runs/toy/latest";
  for (const char* file :
       {"config.yaml", "config.origin.yaml", "command.txt", "env.json", "status.json",
        "metrics.jsonl", "log.txt", "summary.json", "curves.svg", "metrics.svg",
        "samples/step-00000006.png", "checkpoints/best/manifest.json"})
    EXPECT_TRUE(std::filesystem::exists(latest + "/" + file)) << file;
  const JsonValue summary = parse_json(read_text(latest + "/summary.json"), "summary");
  EXPECT_EQ(summary.at("step").as_integer(), 6);
  EXPECT_THAT(read_text(latest + "/env.json"), HasSubstr("compiler"));
}

TEST(Output, StoredConfigRepeatsTheRunBitForBit) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  ASSERT_EQ(run_program("sing-train", {"-c", folder / "toy.yaml", "-o", folder / "a"}).code, 0);
  ASSERT_EQ(
      run_program("sing-train", {"-c", folder / "a/toy/latest/config.yaml", "-o", folder / "b"})
          .code,
      0);
  const auto x = load_tensors(folder / "a/toy/latest/checkpoints/last/model.safetensors");
  const auto y = load_tensors(folder / "b/toy/latest/checkpoints/last/model.safetensors");
  EXPECT_THAT(test::differences(x, y), ::testing::IsEmpty());
}

TEST(EvalPredict, AgreeWithTheRun) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  ASSERT_EQ(run_program("sing-train", {"-c", folder / "toy.yaml", "-o", folder / "runs"}).code, 0);
  const std::string latest = folder / "runs/toy/latest";
  const JsonValue summary = parse_json(read_text(latest + "/summary.json"), "summary");
  const test::Finished eval = run_program("sing-eval", {latest, "--json"});
  ASSERT_EQ(eval.code, 0) << eval.error;
  const JsonValue values = parse_json(eval.output, "eval");
  EXPECT_EQ(values.at("metrics").at("eval/test/mse").as_double(),
            summary.at("last").at("eval/test/mse").as_double());
  // The same weights through model.init_from of a config.
  const test::Finished from_weights = run_program(
      "sing-eval", {"-c", folder / "toy.yaml", "--json",
                    "model.init_from=" + latest + "/checkpoints/last/model.safetensors"});
  ASSERT_EQ(from_weights.code, 0) << from_weights.error;
  EXPECT_EQ(parse_json(from_weights.output, "eval").at("metrics").at("eval/test/mse").as_double(),
            values.at("metrics").at("eval/test/mse").as_double());
  // The test split written out and predicted: the same mean squared error, by hand.
  ASSERT_EQ(run_program("sing", {"data", "generate", "-c", folder / "toy.yaml", "--split", "test",
                                 "-o", folder / "test.safetensors"})
                .code,
            0);
  const test::Finished predict = run_program(
      "sing-predict", {latest, folder / "test.safetensors", "-o", folder / "out.safetensors"});
  ASSERT_EQ(predict.code, 0) << predict.error;
  const auto samples = load_tensors(folder / "test.safetensors");
  const auto out = load_tensors(folder / "out.safetensors");
  const std::vector<double> truth = samples.at("target").to_vector();
  const std::vector<double> guess = out.at("prediction").to_vector();
  ASSERT_EQ(truth.size(), guess.size());
  double sum = 0;
  for (size_t i = 0; i < truth.size(); ++i) sum += (truth[i] - guess[i]) * (truth[i] - guess[i]);
  EXPECT_NEAR(sum / static_cast<double>(truth.size()),
              values.at("metrics").at("eval/test/mse").as_double(), 1e-9);
  // A picture in, a picture out.
  data::Image8 image{24, 24, 1, std::vector<uint8_t>(24 * 24, 0)};
  data::write_png(folder / "in.png", image);
  ASSERT_EQ(run_program("sing-predict", {latest, folder / "in.png", "-o", folder / "out.png"}).code,
            0);
  EXPECT_EQ(data::read_png(folder / "out.png").width, 24);
}

TEST(ExitCodes, EachFamilyHasItsCase) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  const std::string toy = folder / "toy.yaml";
  const auto train = [&](std::vector<std::string> words) {
    std::vector<std::string> all = {"-c", toy, "-o", folder / "runs"};
    all.insert(all.end(), words.begin(), words.end());
    return run_program("sing-train", all);
  };
  EXPECT_EQ(train({}).code, 0);
  EXPECT_EQ(train({"train.device=cuda"}).code, 2);
  EXPECT_EQ(train({"optimizer.host.lr=-1"}).code, 2);
  EXPECT_EQ(
      train({"optimizer.groups=[{match: {tags: [head]}, freeze: true}, {match: {name: nothing}, "
             "freeze: true}]"})
          .code,
      2);
  // Data: a truncated safetensors file.
  const std::string latest = folder / "runs/toy/latest";
  std::ofstream(folder / "cut.safetensors") << "\x20";
  const test::Finished cut =
      run_program("sing-predict", {std::filesystem::canonical(latest), folder / "cut.safetensors",
                                   "-o", folder / "o.safetensors"});
  EXPECT_EQ(cut.code, 3) << cut.error;
  EXPECT_THAT(cut.error, HasSubstr("cut.safetensors"));
  // Checkpoint: nowhere to write; nothing to read.
  EXPECT_EQ(run_program("sing-train", {"-c", toy, "-o", "/proc/sing-cannot-write"}).code, 4);
  EXPECT_EQ(run_program("sing-eval", {folder / "nothing"}).code, 4);
  // Diverged: a rate that no network survives; the third start refuses at once.
  const std::vector<std::string> hopeless = {"optimizer.host.lr=1e30",
                                             "optimizer.transforms=[]",
                                             "optimizer.host.softplus_beta=null",
                                             "optimizer.lookahead=null",
                                             "-n",
                                             "hopeless"};
  const test::Finished first = train(hopeless);
  EXPECT_EQ(first.code, 5) << first.error;
  EXPECT_THAT(first.error, HasSubstr("weights are those of step"));
  EXPECT_EQ(train(hopeless).code, 5);
  const test::Finished third = train(hopeless);
  EXPECT_EQ(third.code, 5);
  EXPECT_THAT(third.error, HasSubstr("failed twice"));
  // Memory: more than any machine has.
  // Memory: less address space than the model needs.
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  rlimit tight = before;
  tight.rlim_cur = rlim_t{1} << 30;
  setrlimit(RLIMIT_AS, &tight);
  const test::Finished huge = train({"model.dim=8192", "model.depth=8", "-n", "huge"});
  setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(huge.code, 6) << huge.error;
  EXPECT_THAT(huge.error, HasSubstr("out of memory"));
}

TEST(Components, AreListedAndExplained) {
  const test::Finished all = run_program("sing", {"ls"});
  EXPECT_EQ(all.code, 0);
  for (const char* name : {"adamw", "sgd", "sing", "cosine", "rde", "vit_s", "resnet18", "mse",
                           "depth_accuracy", "quickstart"})
    EXPECT_THAT(all.output, HasSubstr(name));
  for (const char* word :
       {"optimizers", "models", "data", "transforms", "schedules", "metrics", "losses", "recipes"})
    EXPECT_EQ(run_program("sing", {"ls", word}).code, 0) << word;
  EXPECT_THAT(run_program("sing", {"explain", "softplus_beta"}).output, HasSubstr("softplus"));
  for (const char* code : {"E0201", "E0240", "E0501", "E0701", "W0222"})
    EXPECT_THAT(run_program("sing", {"explain", code}).output, HasSubstr(code)) << code;
  const JsonValue schema = parse_json(run_program("sing", {"schema"}).output, "schema");
  EXPECT_TRUE(schema.find("$schema") != nullptr);
  EXPECT_THAT(run_program("sing", {"show", "quickstart"}).output, HasSubstr("transforms: [sing]"));
  EXPECT_THAT(run_program("sing", {"doctor", "--json"}).output, HasSubstr("\"faults\""));
}

}  // namespace
}  // namespace sing
