// sing eval and sing predict of a run whose optimizer averages its weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "sing/core/json.h"
#include "sing/tensor/safetensors.h"
#include "support/program.h"
#include "support/toy_experiment.h"

namespace sing {
namespace {

using test::run_program;
using test::TemporaryFolder;
using ::testing::HasSubstr;

double mse_of(const std::string& json) {
  return parse_json(json, "eval").at("metrics").at("eval/test/mse").as_double();
}

TEST(AveragedRun, EvalAndPredictUseTheAverages) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  const test::Finished trained =
      run_program("sing-train", {"-c", folder / "toy.yaml", "-o", folder / "runs",
                                 "optimizer.lookahead=null", "optimizer.ema={decay: 0.5}"});
  ASSERT_EQ(trained.code, 0) << trained.error;
  EXPECT_THAT(trained.error, HasSubstr("weights=averaged"));
  const std::string latest = folder / "runs/toy/latest";
  std::stringstream summary_text;
  summary_text << std::ifstream(latest + "/summary.json").rdbuf();
  const JsonValue summary = parse_json(summary_text.str(), "summary");
  EXPECT_EQ(summary.at("weights").as_string(), "averaged");

  const test::Finished eval = run_program("sing-eval", {latest, "--json"});
  ASSERT_EQ(eval.code, 0) << eval.error;
  EXPECT_TRUE(parse_json(eval.output, "eval").at("averaged").as_boolean());
  EXPECT_EQ(mse_of(eval.output), summary.at("last").at("eval/test/mse").as_double());
  EXPECT_THAT(run_program("sing-eval", {latest}).output, HasSubstr("averaged weights"));
  const test::Finished raw = run_program("sing-eval", {latest, "--json", "--weights", "trained"});
  EXPECT_FALSE(parse_json(raw.output, "eval").at("averaged").as_boolean());
  EXPECT_NE(mse_of(raw.output), mse_of(eval.output));

  ASSERT_EQ(run_program("sing", {"data", "generate", "-c", folder / "toy.yaml", "--split", "test",
                                 "-o", folder / "test.safetensors"})
                .code,
            0);
  const std::vector<double> truth =
      load_tensors(folder / "test.safetensors").at("target").to_vector();
  for (const char* weights : {"averaged", "trained"}) {
    const test::Finished predict =
        run_program("sing-predict", {latest, folder / "test.safetensors", "-o",
                                     folder / "out.safetensors", "--weights", weights});
    ASSERT_EQ(predict.code, 0) << predict.error;
    const std::vector<double> guess =
        load_tensors(folder / "out.safetensors").at("prediction").to_vector();
    double sum = 0;
    for (size_t i = 0; i < truth.size(); ++i) sum += (truth[i] - guess[i]) * (truth[i] - guess[i]);
    // The same f32 forward pass, summed by hand in double.
    EXPECT_NEAR(sum / static_cast<double>(truth.size()),
                mse_of(std::string(weights) == "averaged" ? eval.output : raw.output), 1e-9);
  }
}

TEST(AveragedRun, WeightsFlagIsChecked) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  ASSERT_EQ(run_program("sing-train", {"-c", folder / "toy.yaml", "-o", folder / "runs"}).code, 0);
  const std::string latest = folder / "runs/toy/latest";
  const auto refused = [&](const std::vector<std::string>& words, const char* code) {
    const test::Finished run = run_program("sing-eval", words);
    EXPECT_EQ(run.code, 2) << run.error;
    EXPECT_THAT(run.error, HasSubstr(code));
  };
  refused({latest, "--weights", "average"}, "E0272");
  refused({latest, "--weights", "averaged"}, "E0277");
  refused({"-c", folder / "toy.yaml", "--weights", "averaged",
           "model.init_from=" + latest + "/checkpoints/last/model.safetensors"},
          "E0272");
  EXPECT_EQ(run_program("sing-eval", {latest, "--weights", "trained"}).code, 0);
}

TEST(AveragedRun, SmokeComparesTheAverages) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << test::toy_config();
  for (const char* averaging :
       {"optimizer.ema={decay: 0.5}", "optimizer.swa={start: 1st, every: 1st}"}) {
    const test::Finished run = run_program("sing-train", {"-c", folder / "toy.yaml", "--smoke",
                                                          "optimizer.lookahead=null", averaging});
    EXPECT_EQ(run.code, 0) << run.error;
  }
}

}  // namespace
}  // namespace sing
