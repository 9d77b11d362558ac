// Figure 1 of the paper by its shipped configs: gradient descent ends in a narrow minimum, SING in
// the wide one, and both are drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "sing/nn/landscape.h"
#include "sing/train/metrics_log.h"
#include "sing/train/session.h"
#include "support/temporary_folder.h"

namespace sing::train {
namespace {

struct Walk {
  LoadedConfig loaded;
  std::string folder;
  std::vector<double> points;
  std::string picture;
};

Walk walk(const std::string& name, const test::TemporaryFolder& root,
          std::vector<std::string> overrides = {}, std::optional<int64_t> max_steps = {},
          const std::string& resume = "never") {
  Walk result;
  result.loaded =
      config::load<ExperimentConfig>({{std::string(SING_SOURCE_DIR) + "/configs/" + name + ".yaml"},
                                      std::move(overrides),
                                      {},
                                      {}});
  SessionOptions options;
  options.output_root = root.path();
  options.name = name;
  options.resume = resume;
  options.max_steps = max_steps;
  options.console.quiet = true;
  result.folder = run_session(result.loaded, options).folder;
  for (const auto& [step, x] : series(read_metrics(result.folder + "/metrics.jsonl"), "point/0"))
    result.points.push_back(x);
  std::ifstream file(result.folder + "/trajectory.svg");
  result.picture.assign(std::istreambuf_iterator<char>(file), {});
  return result;
}

size_t dots(const std::string& svg) {
  size_t count = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1))
    ++count;
  return count;
}

TEST(ThreeMinimaRuns, DescentStaysInTheSecondWellAndSingEndsInTheWideMinimum) {
  const test::TemporaryFolder root;
  const Walk descent = walk("toy_three_minima_gd", root);
  const auto loss = descent.loaded.config.loss.make();
  const auto minima = dynamic_cast<const nn::Landscape&>(*loss).minima();
  ASSERT_EQ(descent.points.size(), 50u);
  EXPECT_GT(descent.points[1], minima[0].x + 0.3) << "jumps over the first well";
  EXPECT_NEAR(descent.points.back(), minima[1].x, 1e-3);

  const Walk sing = walk("toy_three_minima_sing", root, {"loss.beside=" + descent.folder});
  ASSERT_EQ(sing.points.size(), 50u);
  // The rate decays to nothing; the last steps are shorter than 1.2 pi^2 (3 / 50)^2 / 4 = 0.01.
  EXPECT_NEAR(sing.points.back(), minima[2].x, 0.01);
  EXPECT_NEAR(sing.points[0], -4 + 1.2, 1e-6) << "a step is as long as the rate";

  // A dot for each iterate, the start included; both walks where one is put beside the other.
  EXPECT_EQ(dots(descent.picture), 51u);
  EXPECT_EQ(dots(sing.picture), 102u);
  for (const char* text : {">f</text>", ">sgd</text>", ">sing + sgd</text>", ">start</text>",
                           ">narrow</text>", ">wide</text>", ">f(x)</text>"})
    EXPECT_THAT(sing.picture, ::testing::HasSubstr(text));
}

// Theorem 3.1: the rate is above 2 r / sqrt(D) for the largest ball of either narrow basin.
TEST(ThreeMinimaRuns, TheRateIsWhatTheTheoremAsksFor) {
  const test::TemporaryFolder root;
  const Walk sing = walk("toy_three_minima_sing", root, {}, 1);
  const auto loss = sing.loaded.config.loss.make();
  const auto& f = dynamic_cast<const nn::Landscape&>(*loss);
  for (size_t i = 0; i < 2; ++i) {
    double radius = 0;  // to where the function stops rising on the right; the left side is longer
    while (f.at(f.minima()[i].x + radius + 1e-3) > f.at(f.minima()[i].x + radius)) radius += 1e-3;
    const config::Value tree = config::to_value(sing.loaded.config);
    EXPECT_GE(std::stod(tree.find_path("optimizer.host.lr")->text), 2 * radius);
  }
}

TEST(ThreeMinimaRuns, APictureOfAResumedRunHasAllItsSteps) {
  const test::TemporaryFolder root;
  walk("toy_three_minima_sing", root, {}, 20);
  const Walk whole = walk("toy_three_minima_sing", root, {}, {}, "auto");
  EXPECT_EQ(whole.points.size(), 50u);
  EXPECT_EQ(dots(whole.picture), 51u);
}

TEST(ThreeMinimaRuns, ARunOfAnotherModelBesideCostsThePictureOnly) {
  const test::TemporaryFolder root;
  const Walk other =
      walk("toy_three_minima_gd", root, {"model={name: mlp, hidden: [1]}", "loss={name: mse}"}, 1);
  EXPECT_EQ(other.picture, "") << "nothing to draw";
  const Walk alone = walk("toy_three_minima_sing", root, {"loss.beside=" + other.folder}, 3);
  EXPECT_EQ(alone.points.size(), 3u);
  EXPECT_EQ(alone.picture, "");
}

TEST(ThreeMinimaRuns, AnUnknownRunBesideCostsThePictureOnly) {
  const test::TemporaryFolder root;
  const Walk alone = walk("toy_three_minima_sing", root, {"loss.beside=nowhere"}, 3);
  EXPECT_EQ(alone.points.size(), 3u);
  EXPECT_EQ(alone.picture, "");
}

}  // namespace
}  // namespace sing::train
