#include <gtest/gtest.h>

#include "sing/config/diagnostic.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;

std::string refusal(const std::string& yaml) {
  try {
    optimizer_config(yaml);
  } catch (const config::ConfigErrors& errors) {
    return errors.diagnostics()[0].code + " " + errors.diagnostics()[0].what;
  }
  return "accepted";
}

TEST(OptimizerConfig, ReadsTheDocumentedForm) {
  const OptimizerConfig c = optimizer_config(
      "transforms: [{name: sing, centralize: true, normalize: true, eps: 1e-8, scope: row}]\n"
      "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, betas: [0.9, 0.999], softplus_beta: 50}\n"
      "lookahead: {every: 5, alpha: 0.5}\n"
      "schedule: {name: cosine, warmup: 5ep, hold: 60%, min_lr: 0}\n"
      "groups:\n"
      "  - {match: {tags: [norm]}, freeze: true}\n"
      "  - {match: {name: \"head.*\"}, lr_scale: 0.1}\n"
      "fused: true");
  ASSERT_EQ(c.transforms.size(), 1u);
  EXPECT_EQ(c.transforms[0].name(), "sing");
  EXPECT_EQ(c.host.make()->common().lr, 5e-2);
  EXPECT_EQ(c.groups[1].match.name, "head.*");
  EXPECT_TRUE(c.lookahead.has_value());
}

TEST(OptimizerConfig, DefaultsAreThoseOfTheSheet) {
  EXPECT_EQ(optimizer_config("host: adamw").host.make()->common().weight_decay, 1e-2);
  EXPECT_EQ(optimizer_config("host: adam").host.make()->common().weight_decay, 0);
  EXPECT_EQ(optimizer_config("host: adam").host.make()->common().lr, 1e-3);
  EXPECT_FALSE(optimizer_config("host: adam").lookahead.has_value());
}

TEST(OptimizerConfig, RefusesWhatDoesNotFitTogether) {
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const std::string softplus = refusal("host: {name: sgd, softplus_beta: 50}");
  EXPECT_TRUE(contains(softplus, "softplus has no meaning for this host")) << softplus;
  const std::string twice = refusal("transforms: [sing, normalize]");
  EXPECT_TRUE(contains(twice, "sing and normalize both normalise")) << twice;
  EXPECT_EQ(refusal("transforms: [centralize, normalize]"), "accepted");
  EXPECT_EQ(refusal("transforms: [{name: sing, normalize: false}, normalize]"), "accepted");
  EXPECT_TRUE(contains(refusal("transforms: [{name: centralize, scope: tensor}, sing]"),
                       "different scopes"));
  EXPECT_TRUE(contains(refusal("host: {name: sgd, nesterov: true}"), "nesterov wants"));
  EXPECT_TRUE(contains(refusal("groups: [{match: {}, freeze: true}]"), "must say what"));
}

TEST(OptimizerConfig, RefusesValuesOutOfRange) {
  for (const char* yaml :
       {"host: {name: adamw, lr: -1e-3}", "host: {name: sgd, weight_decay: -1}",
        "host: {name: adamw, betas: [0.9, 1]}", "host: {name: adamw, betas: [-0.1, 0.9]}",
        "host: {name: adamw, eps: -1e-8}", "host: {name: adamw, softplus_beta: 0}",
        "host: {name: sgd, momentum: 1}", "host: {name: sgd, momentum: 0.9, dampening: 2}",
        "transforms: [{name: sing, eps: -1}]", "transforms: [{name: clip_value, max_value: 0}]",
        "transforms: [{name: clip_global_norm, max_norm: 0}]", "lookahead: {every: 0}",
        "lookahead: {alpha: 0}", "lookahead: {alpha: 1.5}", "ema: {decay: 1}",
        "schedule: {name: cosine, min_lr: -1}", "schedule: {name: step, gamma: 0}"})
    EXPECT_EQ(refusal(yaml).substr(0, 5), "E0208") << yaml << ": " << refusal(yaml);
  EXPECT_EQ(refusal("host: adamww").substr(0, 5), "E0210");
  EXPECT_EQ(refusal("host: {name: adamw, momentum: 0.9}").substr(0, 5), "E0201");
  EXPECT_EQ(refusal("groups: [{match: {tags: [norms]}}]").substr(0, 5), "E0209");
}

TEST(OptimizerConfig, ValuesGivenInCodeAreCheckedToo) {
  testing::ParameterList list;
  list.add("w", Tensor::zeros({2}));
  OptimizerConfig config;
  config.lookahead = LookAheadOptions{.every = 0};
  EXPECT_THROW(Optimizer(config, list.pointers()), config::ConfigErrors);
}

TEST(OptimizerConfig, WarnsAboutWhatCancelsOrIsUsuallyTooSmall) {
  const auto codes = [](const std::string& yaml, bool pretrained = false) {
    std::string result;
    for (const std::string& warning : warnings(optimizer_config(yaml), pretrained))
      result += warning.substr(0, 5) + " ";
    return result;
  };
  EXPECT_EQ(codes("host: {name: adamw, lr: 1e-3}"), "") << "nothing to say without sing";
  EXPECT_EQ(codes("transforms: [sing]\nhost: {name: adamw, lr: 5e-2}"), "");
  EXPECT_EQ(codes("transforms: [sing]\nhost: {name: adamw, lr: 1e-3}"), "W0222 ");
  EXPECT_EQ(codes("transforms: [sing]\nhost: {name: adamw, lr: 2e-4}", true), "");
  EXPECT_EQ(codes("transforms: [clip_global_norm, sing]\nhost: {name: adamw, lr: 5e-2}"), "W0221 ");
  EXPECT_EQ(codes("transforms: [sing, clip_global_norm]\nhost: {name: adamw, lr: 5e-2}"), "");
  EXPECT_EQ(codes("transforms: [sing]\nhost: {name: sgd, lr: 0.5}"), "W0223 ");
  EXPECT_EQ(codes("transforms: [sing]\nhost: {name: sgd, lr: 0.5}\nschedule: cosine"), "");
}

}  // namespace
}  // namespace sing::optim
