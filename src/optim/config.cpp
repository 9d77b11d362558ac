// The `optimizer:` block: keys, what must hold between them, and what deserves a warning.
#include "sing/optim/optimizer.h"

#include <algorithm>

namespace sing::optim {
namespace {

/// The stages of a config whose names and options are valid.
std::vector<std::unique_ptr<GradientTransform>> make_stages(const OptimizerConfig& config) {
  std::vector<std::unique_ptr<GradientTransform>> stages;
  for (const auto& transform : config.transforms) stages.push_back(transform.make());
  return stages;
}

void check_stages(const OptimizerConfig& o, config::Checker& c) {
  const auto stages = make_stages(o);
  const TensorMeta matrix{.name = "", .shape = {2, 2, 2, 2}, .rows = 2, .cols = 8};
  std::string normaliser;
  std::optional<Scope> scope;
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string& name = o.transforms[i].name();
    if (stages[i]->normalizes()) {
      if (!normaliser.empty())
        c.fail("transforms", normaliser + " and " + name + " both normalise the gradient",
               "keep one of them");
      normaliser = name;
    }
    const auto wanted = stages[i]->rows(matrix);
    if (wanted && wanted->centre) {
      if (scope && *scope != wanted->scope)
        c.fail("transforms", "two stages centre over different scopes", "keep one of them");
      scope = wanted->scope;
    }
    if (stages[i]->must_be_last() && i + 1 < stages.size())
      c.fail("transforms", name + " must be the last stage", "move it behind the others");
  }
}

/// The hosts of a config: the main one, those of groups, and their auxiliaries.
std::vector<std::unique_ptr<HostOptimizer>> make_hosts(const OptimizerConfig& config) {
  std::vector<std::unique_ptr<HostOptimizer>> hosts;
  hosts.push_back(config.host.make());
  for (const GroupRule& group : config.groups)
    if (group.host) hosts.push_back(group.host->make());
  for (size_t i = 0; i < hosts.size(); ++i)
    if (const auto* auxiliary = hosts[i]->auxiliary()) hosts.push_back(auxiliary->make());
  return hosts;
}

void check_hosts(const OptimizerConfig& o, config::Checker& c) {
  for (const auto& host : make_hosts(o)) host->check(o, c);
  if (o.ema && o.swa)
    c.fail("swa", "ema and swa both want to be the weights of evaluation", "keep one of them");
}

}  // namespace

void OptimizerConfig::describe(config::Fields<OptimizerConfig>& f) {
  f("transforms", &OptimizerConfig::transforms, "stages ahead of the host, in order");
  f("host", &OptimizerConfig::host, "the optimizer proper");
  f("lookahead", &OptimizerConfig::lookahead, "slow weights; null: off");
  f("ema", &OptimizerConfig::ema, "average of the weights for evaluation; null: off");
  f("swa", &OptimizerConfig::swa, "mean of late weights for evaluation; null: off");
  f("schedule", &OptimizerConfig::schedule, "learning rate over the run");
  f("groups", &OptimizerConfig::groups, "settings by parameter; the first match wins");
  f("fused", &OptimizerConfig::fused,
    "apply the transforms while the host reads the gradient; false writes them out first");
  f.check(check_stages);
  f.check(check_hosts);
}

bool keeps_averages(const OptimizerConfig& config) {
  const auto has = [](const config::Component<host_kind>& component) {
    const auto host = component.make();
    return host->has_evaluation_weights() ||
           (host->auxiliary() && host->auxiliary()->make()->has_evaluation_weights());
  };
  return config.ema || config.swa || has(config.host) ||
         std::ranges::any_of(config.groups,
                             [&](const GroupRule& rule) { return rule.host && has(*rule.host); });
}

std::vector<std::string> warnings(const OptimizerConfig& config, bool pretrained) {
  std::vector<std::string> result;
  for (const auto& host : make_hosts(config)) host->warn(config, result);
  const auto stages = make_stages(config);
  size_t normaliser = stages.size();
  for (size_t i = 0; i < stages.size(); ++i)
    if (stages[i]->normalizes()) normaliser = i;
  if (normaliser == stages.size()) return result;
  const std::string sing = config.transforms[normaliser].name();
  for (size_t i = 0; i < normaliser; ++i)
    if (stages[i]->only_scales())
      result.push_back("W0221: " + config.transforms[i].name() + " cancels out before " + sing +
                       ", remove it");
  const auto host = config.host.make();
  if (!pretrained && host->common().lr < 5e-3)
    result.push_back("W0222: the best rate with " + sing +
                     " is usually about ten times AdamW's; scan 5e-3 to 1e-1");
  if (config.host.name() == "sgd" && config.schedule.name() == "constant")
    result.push_back("W0223: with " + sing +
                     " steps of sgd have a fixed length: let the rate decay");
  return result;
}

}  // namespace sing::optim
