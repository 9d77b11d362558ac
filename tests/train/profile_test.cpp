// What a profile takes down of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "sing/backend/memory.h"
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
using backend::ProfileLaunch;
using backend::ProfileRecord;
using backend::ProfileSpan;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

const ProfileSpan* find(const std::vector<ProfileSpan>& spans, const std::string& name) {
  const auto it = std::ranges::find(spans, name, [](const ProfileSpan& s) { return s.name; });
  return it == spans.end() ? nullptr : &*it;
}

TEST(Profile, OperandsBytesAndOperationsOfAnOp) {
  const Tensor x = Tensor::full({4, 8}, 1), w = Tensor::full({16, 8}, 1);
  Profile profile({});
  ops::linear(x, w);
  const ProfileRecord record = profile.finish();
  const ProfileSpan* linear = find(record.spans, "linear");
  ASSERT_NE(linear, nullptr);
  EXPECT_EQ(linear->work.read, (4 * 8 + 16 * 8) * 4);
  EXPECT_EQ(linear->work.written, 4 * 16 * 4);
  EXPECT_EQ(linear->work.flops, 2.0 * 4 * 8 * 16);
  EXPECT_THAT(linear->operands, HasSubstr("f32 (4, 8)"));
  EXPECT_THAT(linear->operands, HasSubstr("-> f32 (4, 16)"));
  EXPECT_EQ(linear->parent, -1);
  EXPECT_GE(linear->end, linear->begin);
  // Its one kernel has them too.
  ASSERT_EQ(record.launches.size(), 1u);
  const ProfileLaunch& gemm = record.launches[0];
  EXPECT_THAT(gemm.name, ::testing::StartsWith("gemm ["));
  EXPECT_EQ(gemm.span, 0);
  EXPECT_EQ(gemm.work.read, linear->work.read);
  EXPECT_EQ(gemm.work.written, linear->work.written);
  EXPECT_EQ(gemm.work.flops, linear->work.flops);
  EXPECT_GE(gemm.begin, linear->begin);
  EXPECT_LE(gemm.end, linear->end);
}

/// A product by parts calls the slot again for each.
TEST(Profile, AKernelThatCallsOthersIsOneLaunch) {
  Tensor y = Tensor::empty({4});
  Profile profile({});
  {
    const backend::OpScope op("outer");
    backend::begin_launch(0);
    y.fill(1);  // a call of a slot
    backend::end_launch("whole");
  }
  const ProfileRecord record = profile.finish();
  ASSERT_EQ(record.launches.size(), 1u);
  EXPECT_EQ(record.launches[0].name, "whole");
}

/// An op of which `launches` ask for the operands noted before them.
ProfileRecord an_op(const std::vector<std::pair<std::string, backend::Work>>& launches) {
  const float x = 0, y = 0;
  Profile profile({});
  {
    const backend::OpScope op("planted");
    backend::note_operand(&x, {3, 5}, DType::f32, false);
    backend::note_flops(1000);
    for (const auto& [name, work] : launches) {
      backend::begin_launch(0);
      backend::end_launch(name, work);
    }
    backend::note_operand(&x, {3, 5}, DType::f32, false);
    backend::note_operand(&y, {7}, DType::f32, true);
    backend::begin_launch(0);
    backend::end_launch("behind");
  }
  return profile.finish();
}

TEST(Profile, OperandsBelongToALaunchThatIsAlone) {
  const ProfileRecord one = an_op({{"one", {}}});
  EXPECT_EQ(one.launches[0].work.read, 60);
  EXPECT_EQ(one.launches[0].work.flops, 1000);
  // What is noted behind it is the next one's, also where it was there before.
  EXPECT_EQ(one.launches[1].work.read, 60);
  EXPECT_EQ(one.launches[1].work.written, 28);
  EXPECT_EQ(one.launches[1].work.flops, 0);
  EXPECT_EQ(one.spans[0].work.read, 60) << "once for the op";

  for (const ProfileLaunch& launch : an_op({{"statistics", {}}, {"normalise", {}}}).launches)
    EXPECT_EQ(launch.work.known(), launch.name == "behind") << launch.name;
  // A fill says what it does and takes nothing from the kernel beside it; a product that knows its
  // operations is a kernel beside others.
  const ProfileRecord fill = an_op({{"fill", {.written = 8}}, {"kernel", {}}});
  EXPECT_EQ(fill.launches[0].work.written, 8);
  EXPECT_EQ(fill.launches[1].work.read, 60);
  const ProfileRecord product = an_op({{"product", {.read = 4, .flops = 6}}, {"pass", {}}});
  EXPECT_EQ(product.launches[0].work.flops, 6);
  EXPECT_FALSE(product.launches[1].work.known());
}

TEST(Profile, WorkThatIsSaidBeforeIsTheNextLaunchs) {
  Profile profile({});
  backend::note_work({.read = 12});
  for (const char* name : {"first", "second"}) {
    backend::begin_launch(0);
    backend::end_launch(name);
  }
  const ProfileRecord record = profile.finish();
  EXPECT_EQ(record.launches[0].work.read, 12);
  EXPECT_FALSE(record.launches[1].work.known());
  EXPECT_EQ(record.launches[1].span, -1);
}

TEST(Profile, ALaunchThatThrewIsNone) {
  Profile profile({});
  {
    const backend::OpScope op("refused");
    backend::begin_launch(0);
  }
  {
    const backend::OpScope op("served");
    backend::begin_launch(0);
    backend::end_launch("kernel");
  }
  backend::end_launch("begun by nobody");
  const ProfileRecord record = profile.finish();
  ASSERT_EQ(record.launches.size(), 1u);
  EXPECT_EQ(record.launches[0].span, 1);
}

TEST(Profile, NothingOutsideOfIt) {
  const Tensor x = Tensor::full({4}, 1);
  {
    Profile profile({});
    EXPECT_TRUE(backend::profiling());
    EXPECT_TRUE(profile.finish().spans.empty());
    EXPECT_FALSE(backend::profiling());
  }
  ops::square(x);
  Profile profile({});
  ops::square(x);
  EXPECT_EQ(profile.finish().spans.size(), 1u);
}

TEST(Profile, PhasesHoldTheirOps) {
  const Tensor x = Tensor::full({4}, 1);
  Profile profile({});
  {
    const backend::ProfileScope phase("forward");
    ops::square(x);
  }
  const std::vector<ProfileSpan> spans = profile.finish().spans;
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1].parent, 0);
  EXPECT_LE(spans[0].begin, spans[1].begin);
  EXPECT_GE(spans[0].end, spans[1].end);
}

ProfileRecord two_kernels() {
  ProfileRecord record;
  record.spans.resize(3);
  record.spans[0] = {.name = "forward", .end = 1.0, .device_end = 1.0};
  record.spans[1] = {.name = "linear",
                     .layer = "fc1",
                     .parent = 0,
                     .begin = 0.1,
                     .end = 0.5,
                     .device_begin = 0.1,
                     .device_end = 0.5,
                     .work = {3'000'000'000, 1'000'000'000, 2e11}};
  record.spans[2] = {.name = "gelu",
                     .parent = 0,
                     .begin = 0.5,
                     .end = 0.6,
                     .device_begin = 0.5,
                     .device_end = 0.6};
  record.launches = {{.name = "product", .span = 1, .begin = 0.1, .end = 0.3},
                     {.name = "product",
                      .span = 1,
                      .begin = 0.3,
                      .end = 0.5,
                      .work = {3'000'000'000, 1'000'000'000, 1e11}},
                     {.name = "gelu_kernel", .span = 2, .begin = 0.5, .end = 0.55},
                     {.name = "copy", .stream = 1, .begin = 0.2, .end = 0.3}};
  return record;
}

TEST(Profile, TableCountsTheTimeOfAnOpWithoutThoseInside) {
  train::ProfileHead head;
  head.first_step = 20;
  head.steps = 2;
  head.ceilings = {20e9, 1e12, "f32"};
  const std::string table = train::profile_table(two_kernels(), head);
  EXPECT_THAT(table, HasSubstr("steps 21 to 22 on cpu"));
  EXPECT_THAT(table, HasSubstr("500.000 ms a step"));
  EXPECT_THAT(table, HasSubstr("in kernels 225.000 ms a step (45.0 %), between them 275.000 ms"));
  // 4 GB in 0.4 s are half of the copy rate, 0.2 TFLOP in it half of the product rate.
  EXPECT_THAT(table, ContainsRegex("forward/linear +0.5 +200.0000 +40.0 % +400000.0 +4000.000 "
                                   "+200.000 +10.00 +50 % +0.500 +50 %"));
  EXPECT_THAT(table, ContainsRegex("forward +0.5 +250.0000 +50.0 %"));
  EXPECT_LT(table.find("forward/linear"), table.find("forward/gelu"));
  // Of two calls of one kernel one has numbers: rates are that one's.
  EXPECT_THAT(table,
              ContainsRegex("\nlinear: product +1.0 +200.0000 +40.0 % +200000.0 +4000.000 +100.000 "
                            "+20.00 +100 % +0.500 +50 %"));
  EXPECT_THAT(table,
              ContainsRegex("\ngelu: gelu_kernel +0.5 +25.0000 +5.0 % +50000.0 +- +- +- +- +- +-"));
  EXPECT_THAT(table, ContainsRegex("\ncopy \\(beside\\) +0.5 +50.0000"));
  EXPECT_LT(table.find("\nlinear: product"), table.find("\ngelu: gelu_kernel"));
}

/// Complete events of a row, by name.
std::vector<const JsonValue*> row(const JsonValue& trace, int64_t number) {
  std::vector<const JsonValue*> events;
  for (const JsonValue& event : trace.find("traceEvents")->as_array())
    if (event.at("ph").as_string() == "X" && event.at("tid").as_integer() == number)
      events.push_back(&event);
  return events;
}

TEST(Profile, ATraceHasRowsForOpsKernelsAndCopies) {
  train::ProfileHead head;
  head.device = {DeviceType::cuda, 0};
  head.steps = 1;
  const Result<JsonValue> trace = read_json(train::profile_trace(two_kernels(), head));
  ASSERT_TRUE(trace.ok());
  std::map<int64_t, std::string> names;
  for (const JsonValue& event : trace.value().find("traceEvents")->as_array())
    if (event.at("ph").as_string() == "M" && event.at("name").as_string() == "thread_name")
      names[event.at("tid").as_integer()] = event.at("args").at("name").as_string();
  EXPECT_THAT(names,
              ::testing::ElementsAre(::testing::Pair(1, "host"), ::testing::Pair(2, "cuda:0 ops"),
                                     ::testing::Pair(3, "cuda:0 kernels"),
                                     ::testing::Pair(4, "cuda:0 copies beside")));
  EXPECT_EQ(row(trace.value(), 1).size(), 3u);
  EXPECT_EQ(row(trace.value(), 2).size(), 3u);
  ASSERT_EQ(row(trace.value(), 3).size(), 3u);
  ASSERT_EQ(row(trace.value(), 4).size(), 1u);
  const JsonValue& product = *row(trace.value(), 3)[1];
  EXPECT_EQ(product.at("name").as_string(), "product");
  EXPECT_EQ(product.at("cat").as_string(), "forward");
  EXPECT_EQ(product.at("ts").as_double(), 0.3e6);
  EXPECT_EQ(product.at("dur").as_double(), 0.2e6);
  EXPECT_EQ(product.at("args").at("op").as_string(), "linear");
  EXPECT_EQ(product.at("args").at("layer").as_string(), "fc1");
  EXPECT_EQ(product.at("args").at("flops").as_double(), 1e11);
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
  const std::string table = text_of("trace/steps-00000001-2.txt");
  EXPECT_THAT(table, HasSubstr("backward/linear"));
  EXPECT_THAT(table, ContainsRegex("\nlayer_norm: layer_norm_forward \\["));
}

}  // namespace
}  // namespace sing
