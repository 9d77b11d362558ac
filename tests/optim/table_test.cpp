#include <gtest/gtest.h>

#include <cmath>

#include "sing/core/error.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::ParameterList;
using testing::set_gradient;

void add_model(ParameterList& list) {
  list.add("stem.weight", Tensor::full({2, 3}, 1), 0u | nn::Tag::weight);
  list.add("stem.bias", Tensor::full({2}, 1), 0u | nn::Tag::bias);
  list.add("norm.weight", Tensor::full({3}, 1), nn::Tag::norm | nn::Tag::weight);
  list.add("head.fc.weight", Tensor::full({2, 2}, 1), nn::Tag::head | nn::Tag::weight);
}

TEST(ParamTable, GradientsAreSlicesOfOneBufferThatBackwardAddsTo) {
  ParameterList list;
  add_model(list);
  ParamTable table(list.pointers());
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table.numel(), 6 + 2 + 3 + 4);
  EXPECT_EQ(table.find("norm.weight"), 2);
  EXPECT_EQ(table.find("nothing"), -1);
  EXPECT_EQ(table.meta(0).rows, 2);
  EXPECT_EQ(table.meta(0).cols, 3);
  // A backward pass through a leaf alone delivers its seed, twice: it must add.
  const Tensor seed = Tensor::full({2}, 3);
  list[1].working.backward(seed);
  list[1].working.backward(seed);
  EXPECT_EQ(table.gradient(1).to_vector(), (std::vector<double>{6, 6}));
  EXPECT_EQ(list[1].grad().raw(), table.gradient(1).raw());
  EXPECT_TRUE(table.present(1));
  EXPECT_FALSE(table.present(0)) << "only tensor 1 was reached";
  table.zero_grad();
  EXPECT_EQ(table.gradient(1).to_vector(), (std::vector<double>{0, 0}));
  EXPECT_FALSE(table.present(1));
  EXPECT_EQ(list[1].grad().raw(), table.gradient(1).raw()) << "clearing keeps the buffer";
}

TEST(ParamTable, SlicesDoNotOverlapAndStartOnCacheLines) {
  ParameterList list;
  add_model(list);
  ParamTable table(list.pointers());
  for (size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(table.gradient(i).raw()) % 64, 0u);
    Tensor g = table.gradient(i);
    g.fill(static_cast<double>(i) + 1);
  }
  for (size_t i = 0; i < table.size(); ++i)
    for (const double x : table.gradient(i).to_vector()) EXPECT_EQ(x, static_cast<double>(i) + 1);
}

TEST(ParamTable, ExplicitPresenceHoldsUntilCleared) {
  ParameterList list;
  add_model(list);
  ParamTable table(list.pointers());
  set_gradient(table, 0, {1, 2, 3, 4, 5, 6});
  table.set_present(0, false);
  table.set_present(1, true);
  EXPECT_FALSE(table.present(0));
  EXPECT_TRUE(table.present(1));
  table.zero_grad();
  EXPECT_FALSE(table.present(1));
  set_gradient(table, 0, {1, 2, 3, 4, 5, 6});
  EXPECT_TRUE(table.present(0));
}

TEST(ParamTable, TiedWeightsCountOnce) {
  ParameterList list;
  add_model(list);
  auto pointers = list.pointers();
  pointers.push_back(pointers[0]);
  EXPECT_EQ(ParamTable(pointers).size(), 4u);
}

TEST(ParamTable, RefusesWhatItCannotHold) {
  {
    ParameterList list;
    list.add("a", Tensor::zeros({2}));
    list.add("a", Tensor::zeros({2}));
    EXPECT_THROW(ParamTable{list.pointers()}, ConfigError) << "state is kept by name";
  }
  {
    ParameterList list;
    list.add("a", Tensor::zeros({2}));
    list.add("b", Tensor::zeros({2}, {.dtype = DType::f64}));
    EXPECT_THROW(ParamTable{list.pointers()}, DTypeError);
  }
  {
    ParameterList list;
    list.add("a", Tensor::zeros({2}, {.dtype = DType::bf16}));
    EXPECT_THROW(ParamTable{list.pointers()}, DTypeError);
  }
  {
    ParameterList list;
    list.add("a", Tensor::zeros({2, 3}).transpose(0, 1));
    EXPECT_THROW(ParamTable{list.pointers()}, ShapeError) << "rows would be mixed up";
  }
  EXPECT_THROW(ParamTable{std::vector<nn::Parameter*>{}}, ConfigError);
}

TEST(Groups, FirstMatchWinsAndFreezingLeavesTableAndTape) {
  ParameterList list;
  add_model(list);
  const OptimizerConfig config = optimizer_config(
      "host: {name: sgd, lr: 0.5, weight_decay: 0.1, decoupled: true}\n"
      "groups:\n"
      "  - {match: {tags: [norm]}, freeze: true}\n"
      "  - {match: {tags: [bias, norm]}, weight_decay: 0}\n"
      "  - {match: {name: 'head.*'}, lr_scale: 0.1}");
  Optimizer optimizer(config, list.pointers());
  ParamTable& table = optimizer.table();
  ASSERT_EQ(table.size(), 3u);
  EXPECT_EQ(table.frozen(), 1u);
  EXPECT_EQ(table.find("norm.weight"), -1);
  EXPECT_FALSE(list[2].trainable);
  EXPECT_FALSE(list[2].working.requires_grad());
  EXPECT_EQ(table.meta(1).group, 2) << "stem.bias";
  EXPECT_EQ(table.meta(2).group, 3) << "head.fc.weight";
  for (size_t i = 0; i < table.size(); ++i)
    set_gradient(table, i, std::vector<double>(static_cast<size_t>(table.meta(i).numel()), 1));
  optimizer.step({});
  EXPECT_FLOAT_EQ(static_cast<float>(list[0].value.to_vector()[0]), 1 * (1 - 0.5f * 0.1f) - 0.5f);
  EXPECT_FLOAT_EQ(static_cast<float>(list[1].value.to_vector()[0]), 1 - 0.5f) << "no decay";
  EXPECT_EQ(list[2].value.to_vector()[0], 1) << "frozen";
  EXPECT_FLOAT_EQ(static_cast<float>(list[3].value.to_vector()[0]), 1 * (1 - 0.005f) - 0.05f);
}

TEST(Groups, DecayFilterFollowsTheChain) {
  const auto vector_after = [](const std::string& yaml) {
    ParameterList list;
    list.add("w", Tensor::full({2, 2}, 1, {.dtype = DType::f64}));
    list.add("b", Tensor::full({2}, 1, {.dtype = DType::f64}));
    Optimizer optimizer(optimizer_config(yaml), list.pointers());
    for (size_t i = 0; i < 2; ++i) {
      optimizer.table().gradient(i).fill(0);
      optimizer.table().set_present(i, true);
    }
    optimizer.step({});
    return std::pair(list[0].value.to_vector()[0], list[1].value.to_vector()[0]);
  };
  const std::string host = "host: {name: adamw, lr: 0.5, weight_decay: 0.5";
  using P = std::pair<double, double>;
  EXPECT_EQ(vector_after(host + "}"), (P{0.75, 0.75})) << "plain host: all tensors";
  EXPECT_EQ(vector_after("transforms: [sing]\n" + host + "}"), (P{0.75, 1})) << "with sing";
  EXPECT_EQ(vector_after("transforms: [sing]\n" + host + ", decay: all}"), (P{0.75, 0.75}));
  EXPECT_EQ(vector_after(host + ", decay: matrices}"), (P{0.75, 1}));
  EXPECT_EQ(vector_after(host + "}\ngroups: [{match: {ndim: 1}, decay: matrices}]"), (P{0.75, 1}));
  // Plain SGD couples decay to the gradient; with sing it does not.
  const std::string sgd = "host: {name: sgd, lr: 0.5, momentum: 0.5, weight_decay: 0.5}";
  EXPECT_EQ(vector_after(sgd), (P{0.75, 0.75}));
  EXPECT_EQ(vector_after("transforms: [sing]\n" + sgd), (P{0.75, 1}));
}

TEST(Groups, CoupledDecayGoesThroughTheMomentAndDecoupledDoesNot) {
  const auto after_two = [](const char* decoupled) {
    ParameterList list;
    list.add("w", Tensor::full({1}, 1, {.dtype = DType::f64}));
    Optimizer optimizer(
        optimizer_config(
            "host: {name: sgd, lr: 0.5, momentum: 0.5, weight_decay: 0.5, decoupled: " +
            std::string(decoupled) + "}"),
        list.pointers());
    for (int step = 0; step < 2; ++step) {
      optimizer.table().set_present(0, true);
      optimizer.step({.step = step});
    }
    return list[0].value.item();
  };
  // b = .5, theta = .75; b = .25 + .375 = .625, theta = .4375. Decoupled: .75, .5625.
  EXPECT_EQ(after_two("false"), 0.4375);
  EXPECT_EQ(after_two("true"), 0.5625);
}

TEST(Groups, PatternThatMatchesNothingIsAnError) {
  ParameterList list;
  add_model(list);
  const auto config = optimizer_config("groups: [{match: {name: 'heads.*'}, lr_scale: 0.1}]");
  try {
    Optimizer optimizer(config, list.pointers());
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), "E0220");
    EXPECT_NE(std::string(error.what()).find("heads.*"), std::string::npos) << error.what();
  }
  EXPECT_THROW(
      Optimizer(optimizer_config("groups: [{match: {name: '*'}, freeze: true}]"), list.pointers()),
      ConfigError)
      << "nothing left to train";
}

TEST(Groups, FrozenTensorsDoNotCountInNorms) {
  ParameterList list;
  add_model(list);
  Optimizer optimizer(
      optimizer_config("host: {name: sgd}\ngroups: [{match: {tags: [norm]}, freeze: true}]"),
      list.pointers());
  list[2].working.set_grad(Tensor::full({3}, 1e9));
  for (size_t i = 0; i < 3; ++i) optimizer.table().gradient(i).fill(1);
  optimizer.step({});
  EXPECT_NEAR(optimizer.statistics().global_norm, std::sqrt(12.0), 1e-12);
  EXPECT_EQ(optimizer.statistics().tensors, 3);
}

}  // namespace
}  // namespace sing::optim
