#include "train/session/environment.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "sing/backend/runtime.h"
#include "sing/config/bind.h"
#include "sing/core/thread_pool.h"
#include "sing/core/version.h"
#include "sing/train/console.h"
#include "sing/train/progress.h"

namespace sing::train {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name"))
      if (const size_t colon = line.find(": "); colon != std::string::npos)
        return line.substr(colon + 2);
  return "unknown";
}

std::string in_millions(int64_t n) {
  if (n < 1000000) return grouped(n);
  return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
}

/// "sing → adamw (softplus 50) → lookahead 5/0.5".
std::string optimizer_chain(const optim::OptimizerConfig& config) {
  std::string text;
  for (const auto& stage : config.transforms) text += stage.name() + " → ";
  text += config.host.name();
  const config::Value options = config::to_value(config);
  const config::Value* softplus = options.find_path("host.softplus_beta");
  if (softplus && !softplus->is_null()) text += " (softplus " + softplus->text + ")";
  if (config.lookahead)
    text += fmt::format(" → lookahead {}/{}", config.lookahead->every, config.lookahead->alpha);
  if (config.ema) text += " → ema";
  if (config.swa) text += " → swa";
  return text;
}

}  // namespace

JsonValue environment_facts() {
  utsname system{};
  uname(&system);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  JsonValue facts;
  facts.set("sing", version());
  facts.set("compiler", SING_COMPILER);
  facts.set("build", SING_BUILD_TYPE);
  facts.set("processor", processor_name());
  facts.set("instructions", backend::cpu_isa());
  facts.set("bf16", backend::cpu_has_bf16());
  facts.set("threads", num_threads());
  facts.set("processors", available_processors());
  facts.set("memory_gib", static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                              static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30));
  facts.set("system", std::string(system.sysname) + " " + system.release);
  facts.set("host", std::string(host));
  facts.set("pid", static_cast<int64_t>(getpid()));
  facts.set("started", utc_time(wall_seconds()));
  return facts;
}

std::vector<std::pair<std::string, std::string>> banner_lines(Experiment& experiment,
                                                              const optim::Optimizer& optimizer,
                                                              Precision precision) {
  const ExperimentConfig& config = experiment.config();
  const optim::ParamTable& table = optimizer.table();
  int64_t matrices = 0;
  for (size_t i = 0; i < table.size(); ++i) matrices += table.meta(i).rank() > 1;
  const int64_t vectors = static_cast<int64_t>(table.size()) - matrices;
  bool centres = false;
  for (const auto& stage : config.optimizer.transforms)
    centres |= stage.name() == "sing" || stage.name() == "centralize";
  std::string counts;
  if (centres) counts = fmt::format(": {} centred, {} normalised only", matrices, vectors);

  const optim::HostOptions* host =
      static_cast<const optim::HostOptions*>(config.optimizer.host.options(optim::host_kind()));
  std::vector<std::pair<std::string, std::string>> lines;
  lines.emplace_back(
      "model",
      fmt::format("{} · {} parameters in {} tensors{}{}", config.model.name(),
                  in_millions(experiment.model().parameter_count()), table.size() + table.frozen(),
                  counts, table.frozen() > 0 ? fmt::format(", {} frozen", table.frozen()) : ""));
  lines.emplace_back(
      "data",
      fmt::format("{} · {} train, {} {}", experiment.source().summary(),
                  grouped(experiment.source().size(data::Split::train)),
                  grouped(experiment.source().size(data::split_from_name(config.eval.split))),
                  config.eval.split));
  lines.emplace_back(
      "optim", fmt::format("{} · lr {} {} · decay {} · D = {}", optimizer_chain(config.optimizer),
                           short_number(host->lr), config.optimizer.schedule.name(),
                           short_number(host->weight_decay), table.size()));
  const Device device = experiment.device();
  lines.emplace_back("device", fmt::format("{} ({}), {}", to_string(device),
                                           backend::runtime(device).description(),
                                           precision == Precision::bf16 ? "bf16" : "f32"));
  return lines;
}

}  // namespace sing::train
