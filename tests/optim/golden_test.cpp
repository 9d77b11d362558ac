// 100 steps of every host, transform, schedule and post-step against independent float64
// references (tests/golden/optim). Files are found when the test runs: a new one needs no line
// here.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "sing/core/file_system.h"
#include "sing/core/sha256.h"
#include "support/optim_golden.h"

namespace sing::optim {
namespace {

using testing::OptimGolden;
using testing::OptimGoldenFile;

/// The worst relative error of a trajectory. In f32 layers read bf16 copies of the parameters,
/// which must follow and must not be felt.
double replay(const OptimGolden& golden, DType dtype, bool fused) {
  testing::OptimProblem problem(dtype);
  for (size_t k = 0; k < problem.kTensors && dtype == DType::f32; ++k)
    problem.parameters[k].working = problem.parameters[k].value.to(DType::bf16);
  OptimizerConfig config = testing::optimizer_config(golden.yaml);
  config.fused = fused;
  Optimizer optimizer(config, problem.parameters.pointers(), {.total_steps = problem.kSteps});
  EXPECT_EQ(golden.steps.back(), problem.kSteps);
  EXPECT_EQ(golden.averages.empty(), !optimizer.has_averages());
  double worst = 0;
  int step = 0;
  for (size_t kept = 0; kept < golden.steps.size(); ++kept) {
    problem.run(optimizer, step + 1, golden.steps[kept]);
    step = golden.steps[kept];
    worst = std::max(worst, worst_difference(problem.parameters, golden.values.at(kept)));
    if (golden.averages.empty()) continue;
    optimizer.use_averages(true);
    worst = std::max(worst, worst_difference(problem.parameters, golden.averages.at(kept)));
    optimizer.use_averages(false);
  }
  for (size_t k = 0; k < problem.kTensors; ++k) {
    const nn::Parameter& parameter = problem.parameters[k];
    EXPECT_EQ(parameter.working.to_vector(),
              parameter.value.to(parameter.working.dtype()).to_vector());
  }
  return worst;
}

void replay_all(DType dtype, double usual_bound, bool fused = true) {
  int run = 0;
  for (const OptimGoldenFile& file : testing::optim_golden_files())
    for (const OptimGolden& golden : file.cases) {
      SCOPED_TRACE(golden.full_name() + "\n" + golden.yaml);
      const double own = dtype == DType::f32 ? golden.bound32 : golden.bound64;
      const double worst = replay(golden, dtype, fused);
      EXPECT_LE(worst, own > 0 ? own : usual_bound);
      std::printf("%-44s worst relative error %.1e\n", golden.full_name().c_str(), worst);
      ++run;
    }
  std::printf("%d cases\n", run);
  EXPECT_GT(run, 0);
}

// The promise of the project; rounding of 100 steps stays near 1e-13.
TEST(Golden, TrajectoriesInDouble) {
  replay_all(DType::f64, 1e-10);
}

TEST(Golden, TrajectoriesOfThePlainPath) {
  replay_all(DType::f64, 1e-10, false);
}

// A step rounds parameter and update by 2^-24 = 6e-8 each; what is left over is fed back through
// the gradients, and stays while weights decay towards zero. 100 steps: 100 * 2 * 6e-8 = 1.2e-5,
// and some more relative to values that have shrunk. Cases with a reason for more say so.
TEST(Golden, TrajectoriesInSingle) {
  replay_all(DType::f32, 3e-5);
}

ByteBuffer bytes_of(const std::string& path) {
  return read_file(posix_file_system(), path, uint64_t{1} << 24);
}

/// Whether the values are those whose checksum the header holds.
bool is_whole(std::span<const std::byte> content) {
  const auto header = read_safetensors_header(content, content.size());
  if (!header.ok()) return false;
  for (const auto& [key, value] : header.value().metadata)
    if (key == "data_sha256")
      return sha256_hex(content.subspan(header.value().data_begin)) == value;
  return false;
}

TEST(Golden, FilesAreWholeAndWrittenByTheseScripts) {
  for (const OptimGoldenFile& file : testing::optim_golden_files()) {
    SCOPED_TRACE(file.path);
    EXPECT_EQ(file.metadata.at("format"), "1");
    ByteBuffer content = bytes_of(file.path);
    EXPECT_TRUE(is_whole(content.span()));
    content.span().back() ^= std::byte{1};
    EXPECT_FALSE(is_whole(content.span())) << "one bit of the last value";
    Sha256 scripts;
    std::istringstream names(file.metadata.at("scripts"));
    for (std::string name; names >> name;)
      scripts.update(bytes_of((testing::optim_golden_folder() / name).string()).span());
    EXPECT_EQ(scripts.hex(), file.metadata.at("scripts_sha256"))
        << "run tests/golden/optim/write.py";
  }
}

/// Names that no case has.
std::set<std::string> missing(std::vector<std::string> registered,
                              const std::set<std::string>& seen) {
  std::set<std::string> result;
  for (std::string& name : registered)
    if (!seen.contains(name)) result.insert(std::move(name));
  return result;
}

TEST(Golden, EveryRegisteredPartHasItsCases) {
  std::set<std::string> hosts_alone, hosts_with_sing, transforms_alone, schedules, blocks;
  for (const OptimGoldenFile& file : testing::optim_golden_files())
    for (const OptimGolden& golden : file.cases) {
      const std::vector<std::string> transforms = golden.transforms();
      if (transforms.empty()) hosts_alone.insert(golden.host());
      if (transforms == std::vector<std::string>{"sing"}) hosts_with_sing.insert(golden.host());
      if (transforms.size() == 1) transforms_alone.insert(transforms[0]);
      for (const auto& entry : golden.tree.entries) blocks.insert(entry.key);
      schedules.insert(OptimGolden::name_of(golden.tree.find("schedule")));
    }
  const std::set<std::string> none;
  EXPECT_EQ(missing(host_kind().names(), hosts_alone), none);
  EXPECT_EQ(missing(host_kind().names(), hosts_with_sing), none);
  EXPECT_EQ(missing(transform_kind().names(), transforms_alone), none);
  EXPECT_EQ(missing(schedule_kind().names(), schedules), none);
  EXPECT_EQ(missing({"lookahead", "ema", "swa"}, blocks), none);
}

}  // namespace
}  // namespace sing::optim
