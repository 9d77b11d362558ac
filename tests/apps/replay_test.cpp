// sing replay as people call it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sing/tensor/safetensors.h"
#include "support/program.h"
#include "support/temporary_folder.h"

namespace sing {
namespace {

using test::run_program;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

/// A folder with a recording of two steps and a config that moves by half the gradient.
class ReplayVerb : public ::testing::Test {
 protected:
  ReplayVerb() {
    std::ofstream(folder_ / "c.yaml") << "optimizer: {host: {name: sgd, lr: 0.5}}\n";
    record(DType::f64);
  }
  void record(DType dtype) const {
    const auto value = [&](double v) { return Tensor::scalar(v, dtype); };
    save_tensors(folder_ / "in.safetensors", {{"param/a.b", value(3)},
                                              {"param/c", value(1)},
                                              {"grad/1/a.b", value(2)},
                                              {"grad/2/a.b", value(-2)},
                                              {"grad/2/c", value(8)}});
  }
  test::Finished replay(std::vector<std::string> words) const {
    std::vector<std::string> all = {
        "replay", "-c", folder_ / "c.yaml", "--gradients", folder_ / "in.safetensors", "-o", out()};
    all.insert(all.end(), words.begin(), words.end());
    return run_program("sing", all);
  }
  std::string out() const { return folder_ / "out.safetensors"; }
  double value(const std::string& name) const { return load_tensors(out()).at(name).item(); }

  TemporaryFolder folder_;
};

TEST_F(ReplayVerb, WritesParametersOfEveryStepInTheDTypeOfTheFile) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    record(dtype);
    const test::Finished run = replay({});
    ASSERT_EQ(run.code, 0) << run.error;
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.error,
                HasSubstr("2 of 2 steps, 2 parameters in " + std::string(name_of(dtype))));
    EXPECT_EQ(load_tensors(out()).size(), 4u);
    EXPECT_EQ(load_tensors(out()).at("param/1/a.b").dtype(), dtype);
    EXPECT_EQ(value("param/1/a.b"), 2);
    EXPECT_EQ(value("param/2/a.b"), 3);
    EXPECT_EQ(value("param/1/c"), 1) << "no gradient";
    EXPECT_EQ(value("param/2/c"), -3);
  }
}

TEST_F(ReplayVerb, StepsStateAndOverrides) {
  ASSERT_EQ(replay({"--steps", "2", "--state", "-q", "optimizer.host.momentum=0.5"}).error, "");
  EXPECT_EQ(load_tensors(out()).count("param/1/c"), 0u);
  EXPECT_EQ(value("param/2/a.b"), 2.5) << "3 - 0.5 * 2 - 0.5 * (-2 + 0.5 * 2)";
  EXPECT_EQ(value("state/2/c/step"), 1);
  EXPECT_EQ(value("state/2/a.b/step"), 2);
  EXPECT_EQ(replay({"optimizer.schedule=cosine"}).code, 0);
  const double short_run = value("param/2/c");
  EXPECT_EQ(replay({"optimizer.schedule=cosine", "--total-steps", "1000"}).code, 0);
  EXPECT_NE(value("param/2/c"), short_run);
}

TEST_F(ReplayVerb, ConfigsOfWholeRunsWork) {
  const test::Finished run =
      run_program("sing", {"replay", "-c", std::string(SING_SOURCE_DIR) + "/configs/rde_vit_s.yaml",
                           "--gradients", folder_ / "in.safetensors", "-o", out(), "--total-steps",
                           "100", "optimizer.schedule.warmup=5%"});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("passed over: model, data, loss, train"));
  const test::Finished epochs =
      run_program("sing", {"replay", "-c", std::string(SING_SOURCE_DIR) + "/configs/rde_vit_s.yaml",
                           "--gradients", folder_ / "in.safetensors", "-o", out()});
  EXPECT_EQ(epochs.code, 2);
  EXPECT_THAT(epochs.error, HasSubstr("E0222"));
  EXPECT_THAT(epochs.error, HasSubstr("write it in steps (100st)"));
}

TEST_F(ReplayVerb, MistakesHaveTheirCodes) {
  const auto expect = [&](int code, const test::Finished& run, const std::string& text) {
    EXPECT_EQ(run.code, code) << run.error;
    EXPECT_THAT(run.error, HasSubstr(text));
    EXPECT_THAT(run.error, Not(HasSubstr("fault of SING")));
  };
  expect(2, run_program("sing", {"replay"}), "E0274");
  expect(2, run_program("sing", {"replay", "-c", folder_ / "c.yaml"}), "--gradients");
  expect(2, run_program("sing", {"replay", "-c", folder_ / "c.yaml", "--gradients", "x"}),
         "--output");
  for (const char* steps : {"", "1,", ",1", "a", "1;2", "1,,2", "3", "0", "-1"})
    expect(2, replay({std::string("--steps=") + steps}), "E027");
  expect(2, replay({"--total-steps", "0"}), "--total-steps");
  expect(2, replay({"stray"}), "neither a flag nor key=value");
  expect(2, replay({"optimizer.host.lr=-1"}), "E0208");
  expect(2, replay({"optimizer.groups=[{match: {tags: [norm]}, freeze: true}]"}), "E0220");
  std::ofstream(folder_ / "c.yaml") << "optimiser: {host: sgd}\n";
  expect(2, replay({}), "did you mean 'optimizer'?");
  std::ofstream(folder_ / "c.yaml") << "seed: 1\n";
  expect(2, replay({}), "missing key 'optimizer'");
  std::ofstream(folder_ / "c.yaml") << "optimizer: {host: {name: sgd, lr: 0.5}}\n";
  save_tensors(folder_ / "in.safetensors", {{"param/a", Tensor::scalar(1)},
                                            {"grad/1/a", Tensor::scalar(0)},
                                            {"grad/7/a", Tensor::scalar(1e30).to(DType::f32)},
                                            {"grad/8/a", Tensor::full({}, INFINITY)}});
  expect(5, replay({}), "'a' at step 8 holds NaN or Inf");
  EXPECT_FALSE(std::filesystem::exists(out()));
  EXPECT_EQ(replay({"--steps", "7"}).code, 0);
  save_tensors(folder_ / "in.safetensors", {{"weight", Tensor::scalar(1)}});
  expect(3, replay({}), "E0324");
  std::ofstream(folder_ / "in.safetensors") << "nonsense";
  expect(3, replay({}), "E0320");
  std::filesystem::remove(folder_ / "in.safetensors");
  expect(3, replay({}), "E0301");
  record(DType::f32);
  expect(4,
         run_program("sing", {"replay", "-c", folder_ / "c.yaml", "--gradients",
                              folder_ / "in.safetensors", "-o", "/proc/sing-cannot-write"}),
         "E0401");
}

}  // namespace
}  // namespace sing
