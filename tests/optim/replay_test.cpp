// Recorded gradients through an optimizer, in memory and from file to file.
#include "sing/optim/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sing/config/bind.h"
#include "sing/core/error.h"
#include "sing/tensor/safetensors.h"
#include "support/sim_file_system.h"

namespace sing {
namespace {

using optim::OptimizerConfig;
using optim::Replay;
using optim::ReplayReport;
using optim::ReplayRequest;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Tensors = std::map<std::string, Tensor>;

Tensor tensor(std::vector<double> values, Shape shape, DType dtype = DType::f64) {
  return Tensor::from(std::vector<double>(std::move(values)), shape).to(dtype);
}

OptimizerConfig sgd(double lr = 0.5) {
  OptimizerConfig config;
  config.host = "sgd";
  config::Value tree = config::to_value(config);
  tree.find("host")->set("lr", config::Value::scalar(std::to_string(lr)));
  return config::bind<OptimizerConfig>(tree);
}

void put(FileSystem& files, const std::string& path, const Tensors& tensors) {
  SafetensorsWriter writer;
  for (const auto& [name, value] : tensors) writer.add(name, value);
  writer.save(path, files);
}

Tensors get(FileSystem& files, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path, files);
  Tensors tensors;
  for (const SafetensorsEntry& entry : file.tensors()) tensors[entry.name] = file.tensor(entry);
  return tensors;
}

std::vector<std::string> names(const Tensors& tensors) {
  std::vector<std::string> result;
  for (const auto& entry : tensors) result.push_back(entry.first);
  return result;
}

/// Two parameters, three steps; nothing has a gradient at step 2, b none at step 1.
Tensors recording(DType dtype) {
  return {{"param/net.w", tensor({1, 2, 3, 4}, {2, 2}, dtype)},
          {"param/b", tensor({1}, {}, dtype)},
          {"grad/1/net.w", tensor({1, 0, -1, 2}, {2, 2}, dtype)},
          {"grad/3/net.w", tensor({2, 2, 2, 2}, {2, 2}, dtype)},
          {"grad/3/b", tensor({4}, {}, dtype)}};
}

ReplayRequest request() {
  ReplayRequest made;
  made.input = "/in";
  made.output = "/out";
  return made;
}

class ReplayIn : public ::testing::TestWithParam<DType> {};

TEST_P(ReplayIn, ComputesInTheDTypeOfTheFile) {
  test::SimFileSystem files;
  put(files, "/in", recording(GetParam()));
  const ReplayReport report = optim::replay_file(sgd(), request(), files);
  EXPECT_TRUE(report.complete);
  EXPECT_EQ(report.dtype, GetParam());
  EXPECT_EQ(report.recorded, 3);
  EXPECT_EQ(report.made, 3);
  EXPECT_EQ(report.written, 6);
  const Tensors out = get(files, "/out");
  EXPECT_THAT(names(out), UnorderedElementsAre("param/1/net.w", "param/2/net.w", "param/3/net.w",
                                               "param/1/b", "param/2/b", "param/3/b"));
  // lr 0.5: halves of small integers are exact in both dtypes.
  EXPECT_EQ(out.at("param/1/net.w").to_vector(), (std::vector<double>{0.5, 2, 3.5, 3}));
  EXPECT_EQ(out.at("param/2/net.w").to_vector(), (std::vector<double>{0.5, 2, 3.5, 3}));
  EXPECT_EQ(out.at("param/3/net.w").to_vector(), (std::vector<double>{-0.5, 1, 2.5, 2}));
  EXPECT_EQ(out.at("param/2/b").to_vector(), (std::vector<double>{1}));
  EXPECT_EQ(out.at("param/3/b").to_vector(), (std::vector<double>{-1}));
  EXPECT_EQ(out.at("param/3/b").shape(), Shape{});
  for (const auto& [name, value] : out) EXPECT_EQ(value.dtype(), GetParam()) << name;
}
INSTANTIATE_TEST_SUITE_P(DTypes, ReplayIn, ::testing::Values(DType::f32, DType::f64));

TEST(ReplayFile, WritesTheStepsAskedFor) {
  test::SimFileSystem files;
  put(files, "/in", recording(DType::f64));
  optim::replay_file(sgd(), request(), files);
  const Tensors all = get(files, "/out");
  ReplayRequest some = request();
  some.steps = {3, 1, 3};
  optim::replay_file(sgd(), some, files);
  const Tensors out = get(files, "/out");
  EXPECT_THAT(names(out),
              UnorderedElementsAre("param/1/net.w", "param/3/net.w", "param/1/b", "param/3/b"));
  for (const auto& [name, value] : out)
    EXPECT_EQ(value.to_vector(), all.at(name).to_vector()) << name;
  some.steps = {1};
  EXPECT_EQ(optim::replay_file(sgd(), some, files).made, 1);
  for (const int64_t step : {0, 4}) {
    some.steps = {1, step};
    EXPECT_THROW(optim::replay_file(sgd(), some, files), ConfigError);
  }
}

TEST(ReplayFile, WritesStateByNameAndSlot) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    test::SimFileSystem files;
    put(files, "/in", recording(dtype));
    ReplayRequest with_state = request();
    with_state.state = true;
    with_state.steps = {2, 3};
    OptimizerConfig config;  // adamw
    config.lookahead = optim::LookAheadOptions{};
    optim::replay_file(config, with_state, files);
    const Tensors out = get(files, "/out");
    for (const char* slot : {"m", "v", "slow", "step"})
      for (const char* name : {"state/2/b/", "state/3/b/", "state/2/net.w/", "state/3/net.w/"})
        ASSERT_TRUE(out.contains(std::string(name) + slot)) << name << slot;
    EXPECT_EQ(out.at("state/2/net.w/m").shape(), (Shape{2, 2}));
    EXPECT_EQ(out.at("state/2/b/step").to_vector(), std::vector<double>{0}) << "no gradient yet";
    EXPECT_EQ(out.at("state/3/b/step").to_vector(), std::vector<double>{1});
    EXPECT_EQ(out.at("state/3/net.w/step").to_vector(), std::vector<double>{2});
    EXPECT_NEAR(out.at("state/3/b/m").to_vector()[0], 0.4, 1e-7);  // (1 - 0.9) 4, f32 rounding
    for (const auto& [name, value] : out) EXPECT_EQ(value.dtype(), dtype) << name;
  }
}

TEST(ReplayFile, ScheduleGoesOnWithoutGradientsAndIsAsLongAsAsked) {
  test::SimFileSystem files;
  put(files, "/in", {{"param/x", tensor({0}, {1})}, {"grad/4/x", tensor({1}, {1})}});
  OptimizerConfig config = sgd(1);
  config.schedule = "cosine";
  const auto moved = [&](std::optional<int64_t> total) {
    ReplayRequest asked = request();
    asked.total_steps = total;
    optim::replay_file(config, asked, files);
    const Tensors out = get(files, "/out");
    EXPECT_EQ(out.at("param/3/x").to_vector(), std::vector<double>{0});
    return -out.at("param/4/x").to_vector()[0];
  };
  // The fourth update is made at (1 + cos(3 pi / total)) / 2.
  EXPECT_NEAR(moved(std::nullopt), (1 + std::cos(3 * M_PI / 4)) / 2, 1e-15);
  EXPECT_NEAR(moved(6), 0.5, 1e-15);
  EXPECT_NEAR(moved(300), (1 + std::cos(3 * M_PI / 300)) / 2, 1e-15);
}

TEST(ReplayFile, EqualsTheOptimizerItself) {
  const Tensors in = recording(DType::f32);
  test::SimFileSystem files;
  put(files, "/in", in);
  OptimizerConfig config;
  config.transforms = {"sing"};
  config.ema = optim::EmaOptions{};
  optim::replay_file(config, request(), files);
  const Tensors out = get(files, "/out");
  nn::Parameter w, b;
  w.name = "net.w";
  b.name = "b";
  w.value = w.working = in.at("param/net.w").clone();
  b.value = b.working = in.at("param/b").clone();
  optim::Optimizer optimizer(config, std::array{&b, &w}, {.total_steps = 3});
  for (int64_t step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    for (const char* name : {"net.w", "b"}) {
      const auto gradient = in.find("grad/" + std::to_string(step + 1) + "/" + name);
      const size_t i = static_cast<size_t>(optimizer.table().find(name));
      optimizer.table().set_present(i, gradient != in.end());
      if (gradient != in.end()) optimizer.table().gradient(i).copy_from(gradient->second);
    }
    optimizer.step({.step = step});
    const std::string prefix = "param/" + std::to_string(step + 1) + "/";
    EXPECT_EQ(out.at(prefix + "net.w").to_vector(), w.value.to_vector());
    EXPECT_EQ(out.at(prefix + "b").to_vector(), b.value.to_vector());
  }
}

TEST(ReplayFile, GroupsWorkByNameAndDimensions) {
  test::SimFileSystem files;
  put(files, "/in", recording(DType::f64));
  OptimizerConfig config = sgd();
  config.groups.resize(1);
  config.groups[0].match.name = "net.*";
  config.groups[0].freeze = true;
  optim::replay_file(config, request(), files);
  Tensors out = get(files, "/out");
  EXPECT_EQ(out.at("param/3/net.w").to_vector(), (std::vector<double>{1, 2, 3, 4})) << "frozen";
  EXPECT_EQ(out.at("param/3/b").to_vector(), (std::vector<double>{-1}));
  config.groups[0] = {};
  config.groups[0].match.ndim = 0;
  config.groups[0].lr_scale = 0.25;
  optim::replay_file(config, request(), files);
  out = get(files, "/out");
  EXPECT_EQ(out.at("param/3/net.w").to_vector(), (std::vector<double>{-0.5, 1, 2.5, 2}));
  EXPECT_EQ(out.at("param/3/b").to_vector(), (std::vector<double>{0.5}));
  config.groups[0] = {};
  config.groups[0].match.tags = {"norm"};
  try {
    optim::replay_file(config, request(), files);
    FAIL() << "parameters of a file have no tags";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), "E0220");
  }
}

TEST(ReplayFile, NonFiniteGradientsEndItAndNothingIsWritten) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {inf, -inf, std::nan("")}) {
    test::SimFileSystem files;
    Tensors in = recording(DType::f64);
    in["grad/3/b"] = tensor({bad}, {});
    put(files, "/in", in);
    try {
      optim::replay_file(sgd(), request(), files);
      FAIL();
    } catch (const DivergedError& error) {
      EXPECT_EQ(error.code(), "E0501");
      EXPECT_THAT(error.what(), HasSubstr("'b' at step 3"));
    }
    EXPECT_THAT(files.list("/").value(), UnorderedElementsAre("in"));
  }
}

TEST(ReplayFile, AnInterruptionLeavesNothing) {
  test::SimFileSystem files;
  put(files, "/in", recording(DType::f64));
  ReplayRequest stopped = request();
  int asked = 0;
  stopped.interrupted = [&] { return ++asked == 2; };
  const ReplayReport report = optim::replay_file(sgd(), stopped, files);
  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.made, 1);
  EXPECT_THAT(files.list("/").value(), UnorderedElementsAre("in"));
}

TEST(ReplayFile, WhatDoesNotFitIsToldAtOnce) {
  const auto refusal = [](const Tensors& in) -> std::string {
    test::SimFileSystem files;
    put(files, "/in", in);
    try {
      optim::replay_file(sgd(), request(), files);
    } catch (const DataError& error) {
      EXPECT_EQ(error.code(), "E0324");
      EXPECT_THAT(error.where(), HasSubstr("/in"));
      EXPECT_THAT(files.list("/").value(), UnorderedElementsAre("in"));
      return error.what();
    }
    return "taken";
  };
  const auto changed = [&](const std::string& name, const Tensor& value) {
    Tensors in = recording(DType::f64);
    in[name] = value;
    return refusal(in);
  };
  const Tensor x = tensor({1, 2}, {2});
  for (const char* name : {"weight", "param/", "param", "grad/1", "grad/1/", "grad//b", "grad/0/b",
                           "grad/-1/b", "grad/01/b", "grad/1e3/b", "grad/99999999999999999999/b",
                           "grad/999999999/b", "gradient/1/b", "Param/b"})
    EXPECT_THAT(changed(name, x),
                HasSubstr("'" + std::string(name) + "' is no parameter and no gradient"));
  EXPECT_THAT(changed("grad/1/c", x), HasSubstr("'grad/1/c' has no parameter 'param/c'"));
  EXPECT_THAT(changed("grad/3/b", x), HasSubstr("'grad/3/b' has the shape [2], its parameter []"));
  EXPECT_THAT(changed("grad/3/b", tensor({1}, {}, DType::f32)),
              HasSubstr("all must have one dtype"));
  EXPECT_THAT(changed("grad/3/b", tensor({1}, {}, DType::i64)), HasSubstr("f32 and f64 are read"));
  EXPECT_THAT(changed("param/b", tensor({std::nan("")}, {})), HasSubstr("holds NaN or Inf"));
  EXPECT_THAT(changed("param/e", Tensor::zeros({0, 3}, {.dtype = DType::f64})),
              HasSubstr("has no elements"));
  EXPECT_THAT(refusal({}), HasSubstr("there is no parameter"));
  EXPECT_THAT(refusal({{"param/b", x}}), HasSubstr("there is no gradient"));
  EXPECT_THAT(refusal({{"grad/1/b", x}}), HasSubstr("there is no parameter"));
  // Several at once, and names that would be cut short.
  Tensors many = recording(DType::f64);
  for (int i = 0; i < 12; ++i) many["bad" + std::to_string(i)] = x;
  EXPECT_THAT(refusal(many), HasSubstr("and 4 more"));
}

TEST(ReplayFile, EpochsHaveNoMeaning) {
  test::SimFileSystem files;
  put(files, "/in", recording(DType::f64));
  OptimizerConfig config = sgd();
  config::Value tree = config::to_value(config);
  const auto with_warmup = [&](const char* warmup) {
    config::Value schedule = config::Value::map();
    schedule.set("name", config::Value::scalar("cosine"));
    schedule.set("warmup", config::Value::scalar(warmup));
    tree.set("schedule", schedule);
    return config::bind<OptimizerConfig>(tree);
  };
  const auto refused = [&](const OptimizerConfig& bad, const char* code) -> std::string {
    try {
      optim::replay_file(bad, request(), files);
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.code(), code);
      return std::string(error.what()) + " / " + error.hint();
    }
    return "taken";
  };
  const std::string epochs = refused(with_warmup("5ep"), "E0222");
  EXPECT_THAT(epochs, HasSubstr("warmup: 5ep"));
  EXPECT_THAT(epochs, HasSubstr("in steps (100st)"));
  EXPECT_THAT(refused(with_warmup("5st"), "E0223"), HasSubstr("--total-steps"));
  EXPECT_EQ(refused(with_warmup("2st"), ""), "taken");
  EXPECT_EQ(refused(with_warmup("50%"), ""), "taken");
}

TEST(ReplayInMemory, TakesGradientsFromAnywhere) {
  Replay replay(sgd(), {{"x", tensor({1, 2}, {2})}}, 10);
  replay.step([](const std::string&) { return tensor({2, 4}, {2}); });
  replay.step([](const std::string&) { return Tensor(); });
  EXPECT_EQ(replay.steps(), 2);
  EXPECT_EQ(replay.parameters().at(0).name, "x");
  EXPECT_EQ(replay.parameters().at(0).tensor.to_vector(), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace sing
