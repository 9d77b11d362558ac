// What a profile takes down of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sing/backend/profile.h"
#include "sing/core/file_system.h"
#include "sing/core/json.h"
#include "sing/ops/linear.h"
#include "sing/ops/unary.h"
#include "support/toy_experiment.h"
#include "train/callbacks/profile.h"
#include "train/profile/report.h"

namespace sing {
namespace {

using backend::Profile;
using backend::ProfileSpan;
using ::testing::HasSubstr;

const ProfileSpan* find(const std::vector<ProfileSpan>& spans, const std::string& name) {
  const auto it = std::ranges::find(spans, name, [](const ProfileSpan& s) { return s.name; });
  return it == spans.end() ? nullptr : &*it;
}

TEST(Profile, OperandsBytesAndOperationsOfAnOp) {
  const Tensor x = Tensor::full({4, 8}, 1), w = Tensor::full({16, 8}, 1);
  Profile profile({});
  ops::linear(x, w);
  const std::vector<ProfileSpan> spans = profile.finish();
  const ProfileSpan* linear = find(spans, "linear");
  ASSERT_NE(linear, nullptr);
  EXPECT_EQ(linear->bytes_read, (4 * 8 + 16 * 8) * 4);
  EXPECT_EQ(linear->bytes_written, 4 * 16 * 4);
  EXPECT_EQ(linear->flops, 2.0 * 4 * 8 * 16);
  EXPECT_THAT(linear->operands, HasSubstr("f32 (4, 8)"));
  EXPECT_THAT(linear->operands, HasSubstr("-> f32 (4, 16)"));
  EXPECT_EQ(linear->parent, -1);
  EXPECT_GE(linear->end, linear->begin);
}

TEST(Profile, NothingOutsideOfIt) {
  const Tensor x = Tensor::full({4}, 1);
  {
    Profile profile({});
    EXPECT_TRUE(backend::profiling());
    EXPECT_TRUE(profile.finish().empty());
    EXPECT_FALSE(backend::profiling());
  }
  ops::square(x);
  Profile profile({});
  ops::square(x);
  EXPECT_EQ(profile.finish().size(), 1u);
}

TEST(Profile, PhasesHoldTheirOps) {
  const Tensor x = Tensor::full({4}, 1);
  Profile profile({});
  {
    const backend::ProfileScope phase("forward");
    ops::square(x);
  }
  const std::vector<ProfileSpan> spans = profile.finish();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1].parent, 0);
  EXPECT_LE(spans[0].begin, spans[1].begin);
  EXPECT_GE(spans[0].end, spans[1].end);
}

TEST(Profile, TableCountsTheTimeOfAnOpWithoutThoseInside) {
  std::vector<ProfileSpan> spans(3);
  spans[0] = {.name = "forward", .end = 1.0, .device_end = 1.0};
  spans[1] = {.name = "linear",
              .parent = 0,
              .begin = 0.1,
              .end = 0.5,
              .device_begin = 0.1,
              .device_end = 0.5,
              .bytes_read = 3'000'000'000,
              .bytes_written = 1'000'000'000,
              .flops = 2e11};
  spans[2] = {.name = "gelu",
              .parent = 0,
              .begin = 0.5,
              .end = 0.6,
              .device_begin = 0.5,
              .device_end = 0.6};
  train::ProfileHead head;
  head.first_step = 20;
  head.steps = 2;
  head.ceilings = {20e9, 1e12, "f32"};
  const std::string table = train::profile_table(spans, head);
  EXPECT_THAT(table, HasSubstr("steps 21 to 22 on cpu"));
  EXPECT_THAT(table, HasSubstr("500.000 ms a step"));
  // 4 GB in 0.4 s are half of the copy rate, 0.2 TFLOP in it half of the product rate.
  EXPECT_THAT(table, ::testing::ContainsRegex(
                         "forward/linear +0.5 +200.0000 +40.0 % +10.00 +50 % +0.500 +50 %"));
  EXPECT_THAT(table, ::testing::ContainsRegex("forward +0.5 +250.0000 +50.0 %"));
  EXPECT_LT(table.find("forward/linear"), table.find("forward/gelu"));
}

TEST(Profile, CeilingsArePositive) {
  const train::Ceilings ceilings = train::measure_ceilings({}, DType::f32);
  EXPECT_GT(ceilings.copy, 0);
  EXPECT_GT(ceilings.product, 0);
}

TEST(ProfileCallback, WritesTraceAndTableAndChangesNothing) {
  const test::TemporaryFolder folder;
  train::ConsoleOptions quiet;
  quiet.quiet = true;
  train::Console console(quiet);
  test::ToyRun plain, profiled;
  profiled.trainer->add(std::make_shared<train::ProfileCallback>(1, 2, folder / "trace", console));
  plain.trainer->run();
  profiled.trainer->run();
  EXPECT_THAT(test::differences(plain.snapshot().model, profiled.snapshot().model),
              ::testing::IsEmpty());
  const auto text_of = [&](const std::string& name) {
    const ByteBuffer bytes = read_file(posix_file_system(), folder / name, 1u << 26);
    return std::string(reinterpret_cast<const char*>(bytes.span().data()), bytes.span().size());
  };
  const Result<JsonValue> trace = read_json(text_of("trace/steps-00000001-2.json"));
  ASSERT_TRUE(trace.ok());
  const JsonValue* events = trace.value().find("traceEvents");
  ASSERT_TRUE(events && events->is_array());
  int updates = 0, layer_norms = 0;
  for (const JsonValue& event : events->as_array()) {
    const std::string phase = event.at("ph").as_string();
    ASSERT_TRUE(phase == "X" || phase == "M");
    if (phase == "M") continue;
    EXPECT_GE(event.at("ts").as_double(), 0);
    EXPECT_GE(event.at("dur").as_double(), 0);
    updates += event.at("name").as_string() == "update";
    layer_norms += event.at("name").as_string() == "layer_norm";
  }
  EXPECT_EQ(updates, 2);
  EXPECT_GT(layer_norms, 2);
  EXPECT_THAT(text_of("trace/steps-00000001-2.txt"), HasSubstr("backward/linear"));
}

}  // namespace
}  // namespace sing
