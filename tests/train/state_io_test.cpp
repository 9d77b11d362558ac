// The two visitors over the state: what one collects the other puts back, and says what does not
// fit.
#include "sing/train/state_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sing/core/error.h"

namespace sing::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct State {
  Tensor weights = Tensor::full({2, 3}, 5), steps = Tensor::full({}, 7, {.dtype = DType::i64});
  int64_t count = 3;
  double rate = 0.1;
  void visit(StateVisitor& visitor) {
    visitor.visit("weights", weights);
    visitor.visit("steps", steps);
    visitor.visit("count", count);
    visitor.visit("rate", rate);
  }
};

std::string problems_of(const StateReader& reader) {
  try {
    reader.finish();
  } catch (const CheckpointError& error) {
    EXPECT_EQ(error.code(), "E0410");
    return error.what();
  }
  return "";
}

TEST(StateIo, WhatWasCollectedIsPutBack) {
  State from;
  StateWriter writer;
  from.visit(writer);
  State to;
  to.weights = Tensor::zeros({2, 3});
  to.steps = Tensor::zeros({}, {.dtype = DType::i64});
  to.count = 0;
  to.rate = 0;
  const Tensor same = to.weights;
  StateReader reader(writer.tensors, writer.numbers);
  to.visit(reader);
  EXPECT_EQ(problems_of(reader), "");
  EXPECT_EQ(same.to_vector(), std::vector<double>(6, 5.0)) << "into the memory that was there";
  EXPECT_EQ(to.steps.item(), 7);
  EXPECT_EQ(to.count, 3);
  EXPECT_EQ(to.rate, 0.1);
}

TEST(StateIo, TwoOfOneNameAreAMistake) {
  StateWriter writer;
  Tensor tensor = Tensor::zeros({1});
  writer.visit("a", tensor);
  EXPECT_THROW(writer.visit("a", tensor), InternalError);
}

TEST(StateIo, ListsAllThatDoesNotFit) {
  const std::map<std::string, Tensor> tensors = {
      {"weights", Tensor::zeros({3, 2})}, {"steps", Tensor::zeros({})}, {"old", Tensor::zeros({})}};
  const JsonValue numbers = JsonValue::object({{"count", 0.5}});
  State state;
  StateReader reader(tensors, numbers);
  state.visit(reader);
  Tensor fresh = Tensor::zeros({1});
  reader.visit("fresh", fresh);
  const std::string text = problems_of(reader);
  EXPECT_THAT(text, HasSubstr("weights is f32 (3, 2), wanted f32 (2, 3)"));
  EXPECT_THAT(text, HasSubstr("steps is f32 (), wanted i64 ()"));
  EXPECT_THAT(text, HasSubstr("count is missing")) << "0.5 is no count";
  EXPECT_THAT(text, HasSubstr("rate is missing"));
  EXPECT_THAT(text, HasSubstr("fresh is missing"));
  EXPECT_THAT(text, HasSubstr("1 saved tensors fit nothing"));
  EXPECT_EQ(state.weights.to_vector(), std::vector<double>(6, 5.0)) << "left as it was";
  EXPECT_EQ(state.count, 3);
}

TEST(StateIo, ALongListIsCut) {
  const std::map<std::string, Tensor> none;
  const JsonValue numbers = JsonValue::object();
  StateReader reader(none, numbers);
  for (int i = 0; i < 12; ++i) {
    int64_t value = 0;
    reader.visit("n" + std::to_string(i), value);
  }
  const std::string text = problems_of(reader);
  EXPECT_THAT(text, HasSubstr("n7 is missing\n  and 4 more"));
  EXPECT_THAT(text, Not(HasSubstr("n8")));
}

}  // namespace
}  // namespace sing::train
