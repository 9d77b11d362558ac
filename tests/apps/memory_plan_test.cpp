// What --check says about memory, and what a run then takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "support/program.h"
#include "support/temporary_folder.h"

namespace sing {
namespace {

std::string config_path(const std::string& name) {
  return std::string(SING_SOURCE_DIR) + "/configs/" + name;
}

/// MiB in the line "memory   0.76 GiB of 23.5 GiB: activations ..."; -1 when there is none.
double planned_mib(const std::string& output) {
  std::smatch words;
  if (!std::regex_search(output, words,
                         std::regex(R"(memory +([\d.]+) ([GM])iB of [\d.]+ GiB: activations )")))
    return -1;
  return std::stod(words[1]) * (words[2] == "G" ? 1024 : 1);
}

double resident_mib(const test::Program& program) {
  return static_cast<double>(program.usage.ru_maxrss) / 1024;
}

#if !defined(__SANITIZE_ADDRESS__)  // whose own memory is larger than what is measured
void compare(std::vector<std::string> words) {
  const test::TemporaryFolder folder;
  std::vector<std::string> check = words;
  check.emplace_back("--check");
  const double planned = planned_mib(test::run_program("sing-train", check).output);
  ASSERT_GT(planned, 0);
  words.insert(words.end(), {"-o", folder.path(), "--max-steps", "2", "-q"});
  test::Program run("sing-train", words);
  ASSERT_EQ(run.wait(), 0) << run.error;
  // Beside the plan: the program with its libraries and threads (some 30 MiB), and workspaces. A
  // checkpoint is read back when the activations are free, but their blocks are kept.
  EXPECT_GT(resident_mib(run), 0.95 * planned);
  EXPECT_LT(resident_mib(run), 1.05 * planned + 60);
}

TEST(MemoryPlan, HoldsForTheQuickstart) {
  compare({"-c", config_path("quickstart.yaml"), "data.test_size=64", "data.batch_size=512"});
}

TEST(MemoryPlan, HoldsForTheRunOfThePaper) {
  compare({"-c", config_path("rde_vit_s.yaml"), "train.device=cpu", "data.batch_size=8",
           "data.test_size=8"});
}

TEST(MemoryPlan, OfAnyModelTakesNextToNoMemory) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"sing-train", "-c", config_path("rde_vit_b_p8.yaml"), "--check"},
        {"sing-train", "-c", config_path("rde_vit_b_p8.yaml"), "--dry-run"},
        {"sing", "check", config_path("rde_vit_b_p8.yaml")}}) {
    test::Program check(words[0], {words.begin() + 1, words.end()});
    ASSERT_EQ(check.wait(), 0) << check.error;
    EXPECT_GT(planned_mib(check.output), 20 * 1024) << check.output;
    EXPECT_LT(resident_mib(check), 60);  // the program is 20
  }
}
#endif

TEST(MemoryPlan, ACheckFindsShapesThatDoNotFit) {
  const test::Finished check =
      test::run_program("sing", {"check", config_path("quickstart.yaml"), "model.patch=5"});
  EXPECT_EQ(check.code, 2);
}

}  // namespace
}  // namespace sing
