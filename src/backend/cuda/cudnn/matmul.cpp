#include "backend/cuda/cudnn/matmul.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "backend/cuda/cudnn/fastest.h"
#include "backend/cuda/cudnn/library.h"
#include "backend/cuda/cudnn/matmul_rules.h"
#include "backend/cuda/runtime.h"
#include "sing/core/dtype.h"
#include "sing/core/error.h"
#include "sing/core/log.h"

namespace sing::cuda::cudnn {
namespace {

using kernels::GemmArgs;

/// What sets the keys apart from those of other ops: what cuDNN suggests, and what was measured.
enum KeyKind : int64_t { kSuggested = 200, kMeasured = 201 };
constexpr int64_t kOwn = -1;  // EngineChoice::engine where the own way is the fastest

bool being_captured(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  sing::cuda::check(cudaStreamIsCapturing(native(stream), &status), "asking for a capture");
  return status != cudaStreamCaptureStatusNone;
}

void run(const Plan& plan, const GemmArgs& g) {
  const auto writable = [](const void* pointer) { return const_cast<void*>(pointer); };
  std::vector<std::pair<int64_t, void*>> pointers{
      {kLeft, writable(g.a)}, {kRight, writable(g.b)}, {kResult, g.c}};
  if (g.slope != nullptr) pointers.emplace_back(kKept, g.slope);
  if (g.kept != nullptr) pointers.emplace_back(kKept, writable(g.kept));
  if (g.bias != nullptr) pointers.emplace_back(kBiasRow, writable(g.bias));
  Library::get().run(plan, pointers, g.stream);
}

/// Of the best of several rounds. Each queues a run ahead of the clock, during which the host gets
/// ahead of the device, and then several on the clock.
double seconds_of(const Work& work, Stream stream) {
  constexpr int kRounds = 3, kRuns = 4;
  const auto begin = runtime().mark(true), end = runtime().mark(true);
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    work();
    begin->record(stream);
    for (int i = 0; i < kRuns; ++i) work();
    end->record(stream);
    end->wait();
    best = std::min(best, end->seconds_since(*begin) / kRuns);
  }
  return best;
}

/// Calls f(pointer) for rows at both ends and in the middle of what a call writes.
template <class F>
void for_sampled_rows(const GemmArgs& g, const F& f) {
  constexpr int64_t kRows = 16;
  for (void* written : {g.c, g.slope}) {
    if (written == nullptr) continue;
    for (const int64_t first : {int64_t{0}, g.m / 2, std::max<int64_t>(g.m - kRows, 0)})
      for (int64_t row = first; row < std::min(first + kRows, g.m); ++row)
        f(static_cast<bfloat16*>(written) + row * g.c_row);
  }
}

std::vector<float> sampled(const GemmArgs& g) {
  std::vector<float> values;
  std::vector<bfloat16> row(static_cast<size_t>(g.n));
  for_sampled_rows(g, [&](const bfloat16* from) {
    runtime().copy(row.data(), from, row.size() * sizeof(bfloat16),
                   backend::CopyKind::device_to_host, g.stream);
    runtime().synchronize(g.stream);
    for (const bfloat16 value : row) values.push_back(static_cast<float>(value));
  });
  return values;
}

void spoil(const GemmArgs& g) {
  const auto bytes = static_cast<size_t>(g.n) * sizeof(bfloat16);
  for_sampled_rows(g, [&](bfloat16* row) {
    // All bits set are a NaN.
    sing::cuda::check(cudaMemsetAsync(row, 0xff, bytes, native(g.stream)), "spoiling memory");
  });
}

/// The fastest plan, or null where `own` is: measured now.
std::unique_ptr<Plan> measured(const GemmArgs& g, const GeluProblem& problem, const PlanKey& key,
                               const Target& target, const Work& own) {
  // What is kept in a file is searched for once, so that more may be tried.
  const int64_t kernels = Library::get().has_file() ? 3 : 0;
  std::vector<std::unique_ptr<Plan>> plans = plans_to_time(
      [&] { return gelu_graph(problem, target); }, target, {deterministic(), false}, kernels);
  std::vector<Work> ways{own};
  for (const auto& plan : plans) ways.emplace_back([&g, &plan] { run(*plan, g); });
  const Fastest found =
      fastest_of(ways, {[&](const Work& work) { return seconds_of(work, g.stream); },
                        [&] { return sampled(g); }, [&] { spoil(g); }});
  std::string line = "cudnn: " + problem.text() + ", microseconds: own ";
  for (size_t way = 0; way < ways.size(); ++way) {
    if (way > 0) line += ", " + plans[way - 1]->choice().text() + " ";
    line += std::isfinite(found.seconds[way])
                ? std::to_string(std::lround(found.seconds[way] * 1e6))
                : "failed";
  }
  log_info(line);
  const bool by_own = found.way == 0;
  std::unique_ptr<Plan> best = by_own ? nullptr : std::move(plans[found.way - 1]);
  Library::get().keep_choice(key, problem.text(), by_own ? EngineChoice{kOwn, {}} : best->choice());
  return best;
}

/// As was kept, or measured where that may be.
std::unique_ptr<Plan> fastest_plan(const GemmArgs& g, const GeluProblem& problem,
                                   const PlanKey& key, const Target& target, const Work& own) {
  Library& library = Library::get();
  if (const EngineChoice* kept = library.kept_choice(key)) {
    if (kept->engine == kOwn) return nullptr;
    return find_plan(gelu_graph(problem, target), target, {deterministic(), false}, *kept);
  }
  const TimingRules rules{being_captured(g.stream), deterministic(), library.has_file()};
  const char* reason = why_not_timed(problem, rules);
  if (reason == nullptr) return measured(g, problem, key, target, own);
  log_info("cudnn: " + problem.text() + ": not timed, own kernels serve it; " + reason);
  return nullptr;
}

}  // namespace

bool try_gelu_product(const GemmArgs& args, Provider provider, const std::function<void()>& own) {
  if (provider == Provider::own) return false;
  const std::optional<GeluProblem> problem = gelu_problem(args);
  if (!problem) return false;
  PlanKey key = problem->key();
  key.insert(key.begin(), provider == Provider::cudnn ? kSuggested : kMeasured);
  key.push_back(deterministic());
  Library& library = Library::get();
  const auto graph = [&](const Target& target) { return gelu_graph(*problem, target); };
  const auto fastest = [&](const Target& target) -> std::unique_ptr<Plan> {
    try {
      return fastest_plan(args, *problem, key, target, own);
    } catch (const BackendError& error) {
      log_info("cudnn: own kernels serve " + problem->text() + ": " + error.what());
      return nullptr;
    }
  };
  const std::shared_ptr<const Plan> plan = provider == Provider::automatic
                                               ? library.plan(key, fastest)
                                               : library.plan(key, {deterministic(), false}, graph);
  if (plan == nullptr) return false;
  run(*plan, args);
  return true;
}

}  // namespace sing::cuda::cudnn
