// The emulator must find what it is there to find: kernels that break a rule are told apart from
// those that keep it (tests/cuda/emulator/README.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cuda/emulator/selftest/cases.h"

namespace sing {
namespace {

using namespace emulator_cases;
using ::testing::ElementsAre;

/// A variable of the environment for the life of it.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* text = std::getenv(name)) before_ = text;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_.empty())
      unsetenv(name_);
    else
      setenv(name_, before_.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string before_;
};
struct Seed : Variable {
  explicit Seed(int seed) : Variable("SING_EMULATOR_SEED", std::to_string(seed)) {}
};

std::vector<int> predecessors() {
  std::vector<int> wanted;
  for (int t = 0; t < kThreads; ++t) wanted.push_back(t - 1);
  return wanted;
}

TEST(Emulator, OrderOfThreadsShowsAMissingBarrier) {
  for (int seed = 0; seed < 4; ++seed) {
    const Seed scope(seed);
    EXPECT_EQ(neighbours(true), predecessors()) << "seed " << seed;
    // Ascending order hides it.
    EXPECT_EQ(neighbours(false) == predecessors(), seed == 0) << "seed " << seed;
  }
}

TEST(Emulator, OrderOfThreadsShowsASumThatDependsOnIt) {
  const Seed scope(1);
  std::set<float> sums;
  for (int i = 0; i < 8; ++i) sums.insert(sum_in_any_order());
  EXPECT_GT(sums.size(), 1u);
  const Seed ascending(0);
  EXPECT_EQ(sum_in_any_order(), sum_in_any_order());
}

TEST(Emulator, SharedMemoryHoldsNothingAtTheStartOfABlock) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "shared memory has red zones here, and is not in one piece";
#endif
  EXPECT_TRUE(std::isnan(left_in_shared_memory()));
}

TEST(Emulator, PartsOfAWarpMeetByThemselves) {
  for (int seed = 0; seed < 4; ++seed) {
    const Seed scope(seed);
    EXPECT_THAT(sums_of_halves(), ElementsAre(120, 376, 496)) << "seed " << seed;
  }
}

/// Lines of SING_EMULATOR_TRACE that `work` leaves, cut at tabs; beginning with the kernel's name.
std::vector<std::vector<std::string>> traced(const std::function<void()>& work) {
  const std::string file = ::testing::TempDir() + "trace-" + std::to_string(::getpid());
  setenv("SING_EMULATOR_TRACE", file.c_str(), 1);
  work();
  unsetenv("SING_EMULATOR_TRACE");
  std::vector<std::vector<std::string>> lines;
  std::ifstream text(file);
  for (std::string line; std::getline(text, line);) {
    std::istringstream fields(line);
    std::vector<std::string> words;
    for (std::string field; std::getline(fields, field, '\t');) words.push_back(field);
    lines.emplace_back(words.begin() + 2, words.end());
  }
  std::remove(file.c_str());
  return lines;
}

TEST(Emulator, TraceNamesLaunchesAndCountsTheBytesTheyTouch) {
  std::vector<int> result;
  const auto lines = traced([&] { result = sums_and_increases(); });
  EXPECT_THAT(result, ElementsAre(1, 1, ::testing::_));
  const std::string blocks = "32", threads = std::to_string(kThreads),
                    bytes = std::to_string(4 * result[2]), twice = std::to_string(8 * result[2]);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], ElementsAre("fill", "1", "1", "0", "0", bytes, "0"));
  EXPECT_THAT(lines[2], ElementsAre(::testing::HasSubstr("sum_pairs_kernel"), blocks, threads, "0",
                                    twice, bytes, "0"));
  EXPECT_THAT(lines[3], ElementsAre(::testing::HasSubstr("increase_kernel"), blocks, threads, "0",
                                    bytes, bytes, "0"));
  EXPECT_THAT(lines[4], ElementsAre("copy to the host", "1", "1", "0", bytes, "0", "0"));
}

TEST(Emulator, DryRunsTakeDownWhatTheyDoNotDo) {
  setenv("SING_EMULATOR_DRY", "1", 1);
  std::vector<int> result;
  const auto lines = traced([&] { result = sums_and_increases(); });
  unsetenv("SING_EMULATOR_DRY");
  EXPECT_THAT(result, ElementsAre(0, 0, ::testing::_));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[3], ElementsAre(::testing::HasSubstr("increase_kernel"), "32",
                                    std::to_string(kThreads), "0", "0", "0", "0"));
}

TEST(Emulator, GraphsRunWhenTheyAreReplayed) {
  EXPECT_THAT(replayed(), ElementsAre(0, 33, 233));
  EXPECT_THAT(replayed_over_two_streams(), ElementsAre(0, 33, 233));
}

TEST(Emulator, TakingMemoryBreaksACapture) {
  constexpr int kUnsupported = 900, kInvalidated = 901;
  EXPECT_THAT(memory_while_capturing(), ElementsAre(kUnsupported, kInvalidated, 0, 0));
}

TEST(Emulator, WhatCannotBeCapturedBreaksACapture) {
  constexpr int kUnsupported = 900, kInvalidated = 901, kIsolation = 905;
  EXPECT_THAT(broken_captures(), ElementsAre(kUnsupported, kInvalidated, kUnsupported, kInvalidated,
                                             kIsolation, kInvalidated));
}

TEST(Emulator, QueuedWorkIsDoneLateUnlessSomeoneWaits) {
  for (const char* pace : {"now", "late"}) {
    const Variable scope("SING_EMULATOR_STREAMS", pace);
    EXPECT_EQ(read_on_another_stream(true), 7) << pace;
  }
  const Variable late("SING_EMULATOR_STREAMS", "late");
  EXPECT_EQ(read_on_another_stream(false), 0);
}

TEST(Emulator, DrawnOrdersShowAMissingEvent) {
  std::set<int> seen;
  for (int seed = 1; seed < 9; ++seed) {
    const Seed scope(seed);
    EXPECT_EQ(read_on_another_stream(true), 7) << seed;
    for (int i = 0; i < 8; ++i) seen.insert(read_on_another_stream(false));
  }
  EXPECT_THAT(seen, ElementsAre(0, 7));
}

TEST(Emulator, ACallThatTheDriverRefuses) {
  const Variable two("SING_EMULATOR_DEVICES", "2");
  constexpr int kDirection = 21, kHandle = 400;
  EXPECT_THAT(refused_calls(), ElementsAre(kDirection, kHandle));
}

TEST(Emulator, PinnedMemoryIsTheHostsOnceItHasWaited) {
  break_rule("pinned memory");
}

TEST(Emulator, LargeSharedMemoryHasToBeAskedFor) {
  EXPECT_EQ(large_shared_memory(true), 7);
}

struct Broken {
  const char *what, *sentence;
};
void PrintTo(const Broken& broken, std::ostream* out) {
  *out << broken.what;
}

class BrokenRuleDeathTest : public ::testing::TestWithParam<Broken> {
 protected:
  // A fresh process each: what dies here holds a lock and a signal.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(BrokenRuleDeathTest, SaysWhichRuleWasBroken) {
  EXPECT_DEATH(break_rule(GetParam().what), GetParam().sentence);
}

constexpr const char* kLeft = "emulator: a kernel or copy left its device memory";
INSTANTIATE_TEST_SUITE_P(
    Rules, BrokenRuleDeathTest,
    ::testing::Values(
        Broken{"write behind the end", kLeft}, Broken{"write far before the start", kLeft},
        Broken{"use after free", kLeft}, Broken{"copy too much", kLeft},
        Broken{"write just behind the end", "wrote beside its device memory"},
        Broken{"host read", "emulator: the host touched device memory"},
        Broken{"early end", "threads have ended that others wait for at the barrier of cases.cpp"},
        Broken{"two barriers", "meet at different barriers, cases.cpp:[0-9]+ and cases.cpp"},
        Broken{"absent lane", "a shuffle reads a lane that takes no part"},
        Broken{"foreign mask", "a lane calls with a mask that leaves it out"},
        Broken{"different masks", "wait for each other with different masks"},
        Broken{"ended lane", "threads wait for others that have ended"},
        Broken{"dynamic shared memory", "a kernel left its dynamic shared memory"},
        Broken{"static shared memory", "an index of a kernel left its array"},
        Broken{"stack", "a thread of a kernel has used up its stack"},
        Broken{"pinned memory read too early", "touched pinned memory before it had waited"},
        Broken{"pinned memory written too early", "wrote to pinned memory that a queued copy"},
        Broken{"pinned memory given back too early", "pinned memory is given back, and nobody"},
        Broken{"launch bounds", "more threads than the __launch_bounds__"},
        Broken{"threads", "a launch that no device accepts"}));

TEST(Emulator, FunctionsAreAsFarOffAsThoseOfADevice) {
  const float exact = std::exp(1.0f);
  EXPECT_EQ(exponential_of_one(), exact);
  setenv("SING_EMULATOR_MATH", "down", 1);
  EXPECT_EQ(exponential_of_one(), std::nextafter(std::nextafter(exact, 0.0f), 0.0f));
  setenv("SING_EMULATOR_MATH", "up", 1);
  EXPECT_GT(exponential_of_one(), exact);
  unsetenv("SING_EMULATOR_MATH");
}

TEST(EmulatorDeathTest, LargeSharedMemoryNotAskedForIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(large_shared_memory(false), "more dynamic shared memory than cudaFuncSetAttribute");
}

}  // namespace
}  // namespace sing
