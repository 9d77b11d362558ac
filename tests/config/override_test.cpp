#include <gtest/gtest.h>

#include "config/example_root.h"
#include "config/example_text.h"
#include "sing/config/load.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::AdamOptions;
using example::Root;

class Override : public ::testing::Test {
 protected:
  Loaded<Root> with(std::vector<std::string> words) const {
    return load<Root>({{file_}, std::move(words), {}, {}});
  }
  const AdamOptions& host(const Loaded<Root>& loaded) const {
    return *loaded.config.optimizer.host.options_as<AdamOptions>();
  }
  // Code of the first error, and where in the word.
  std::string error(const std::string& word) const {
    try {
      with({word});
    } catch (const ConfigErrors& e) {
      const Origin& at = e.diagnostics()[0].origin;
      EXPECT_EQ(at.source->name, word);
      return e.code() + " " + std::to_string(at.column);
    }
    return "accepted";
  }
  testing::ConfigFolder folder_;
  std::string file_ = folder_.write("a.yaml", example::kFull);
};

TEST_F(Override, Sets) {
  const auto c = with({"optimizer.host.lr=1e-2", "train.duration=50st", "name=my=run",
                       "train.threads=4", "seed=18446744073709551615"});
  EXPECT_EQ(host(c).lr, 0.01);
  EXPECT_EQ(host(c).weight_decay, 0.05) << "its neighbours stay";
  EXPECT_EQ(c.config.train.duration, Duration::steps(50));
  EXPECT_EQ(c.config.name, "my=run") << "split at the first =";
  EXPECT_EQ(c.config.train.threads, 4);
  EXPECT_EQ(c.config.seed, 18446744073709551615u);
  EXPECT_EQ(with({"train.threads=4", "train.threads=auto"}).config.train.threads, std::nullopt);
  EXPECT_EQ(with({"seed=2", "seed=3"}).config.seed, 3u) << "the later one wins";
  EXPECT_EQ(host(with({"optimizer.host.softplus_beta=null"})).softplus_beta, std::nullopt);
  EXPECT_EQ(host(with({"optimizer.host.betas=[0.5, 0.9]"})).betas[0], 0.5);
}

TEST_F(Override, ChangesComponents) {
  const auto sgd = with({"optimizer.host=sgd"});
  EXPECT_EQ(sgd.config.optimizer.host.name(), "sgd") << "adamw's options do not leak into sgd";
  EXPECT_EQ(with({"optimizer.host.name=sgd"}).config.optimizer.host.name(), "sgd");
  EXPECT_EQ(host(with({"optimizer.host=adamw"})).lr, 0.05) << "the same name keeps its options";
  EXPECT_EQ(host(with({"optimizer.host={name: adamw, lr: 1}"})).lr, 1);
  const auto momentum = with({"optimizer.host=sgd", "optimizer.host.momentum=0.9"});
  EXPECT_EQ(momentum.config.optimizer.host.options_as<example::SgdOptions>()->momentum, 0.9);
  const auto stage = with({"optimizer.transforms.0.eps=1e-6"});
  EXPECT_EQ(stage.config.optimizer.transforms[0].options_as<example::SingOptions>()->eps, 1e-6)
      << "a bare word takes options";
  EXPECT_EQ(with({"name=other"}).config.data.batch_size, 512) << "the run's name chooses nothing";
}

TEST_F(Override, Removes) {
  EXPECT_EQ(host(with({"~optimizer.host.lr"})).lr, 1e-3);
  EXPECT_FALSE(with({"~optimizer.lookahead"}).config.optimizer.lookahead);
  EXPECT_EQ(with({"~optimizer.groups.0"}).config.optimizer.groups.size(), 1u);
  EXPECT_NO_THROW(with({"~train.threads"})) << "not set, but known";
  EXPECT_NO_THROW(with({"~optimizer.schedule.min_lr"}));
  EXPECT_EQ(error("~train.thread"), "E0201 8");
  EXPECT_EQ(error("~trian.threads"), "E0201 2");
  EXPECT_EQ(error("~optimizer.groups.2"), "E0212 19");
  EXPECT_EQ(error("~"), "E0212 2");
}

TEST_F(Override, Appends) {
  const auto c =
      with({"metrics+=accuracy", "optimizer.transforms+={name: clip_global_norm, max_norm: 2}"});
  EXPECT_EQ(c.config.metrics, (std::vector<std::string>{"depth_accuracy", "mse", "accuracy"}));
  EXPECT_EQ(c.config.optimizer.transforms[1].name(), "clip_global_norm");
  const auto standard = with({"~metrics", "metrics+=accuracy"});
  EXPECT_EQ(standard.config.metrics, (std::vector<std::string>{"mse", "accuracy"}))
      << "appended to the default list";
  EXPECT_EQ(error("seed+=1"), "E0212 1");
  EXPECT_EQ(error("metrics+=nothing"), "E0209 10");
}

TEST_F(Override, Indexes) {
  const auto c = with({"optimizer.groups.0.freeze=false", "optimizer.groups.1.lr_scale=0.2",
                       "optimizer.host.betas.0=0.8"});
  EXPECT_FALSE(c.config.optimizer.groups[0].freeze);
  EXPECT_EQ(c.config.optimizer.groups[1].lr_scale, 0.2);
  EXPECT_EQ(host(c).betas, (std::array<double, 2>{0.8, 0.999}));
  EXPECT_EQ(error("optimizer.groups.2.freeze=true"), "E0212 18");
  EXPECT_EQ(error("optimizer.groups.first.freeze=true"), "E0212 18");
  EXPECT_EQ(error("optimizer.groups.-1.freeze=true"), "E0212 18");
}

TEST_F(Override, ErrorsPointIntoTheWord) {
  EXPECT_EQ(error("optimizer.host.lrr=1"), "E0201 16");
  EXPECT_EQ(error("optimzer.host.lr=1"), "E0201 1");
  EXPECT_EQ(error("optimizer.host.lr=abc"), "E0207 19");
  EXPECT_EQ(error("optimizer.host.lr=-1"), "E0208 19");
  EXPECT_EQ(error("optimizer.host.lr="), "E0216 19");
  EXPECT_EQ(error("optimizer.host=adamv"), "E0210 16");
  EXPECT_EQ(error("train"), "E0212 1");
  EXPECT_EQ(error("=1"), "E0212 1");
  EXPECT_EQ(error("train.=1"), "E0212 7");
  EXPECT_EQ(error("train..seed=1"), "E0212 7");
  EXPECT_EQ(error(".seed=1"), "E0212 1");
  EXPECT_EQ(error("+=1"), "E0212 1");
  EXPECT_EQ(error("extends=b.yaml"), "E0212 1");
  EXPECT_EQ(error("optimizer.host.betas=[1"), "E0202 24");
  EXPECT_EQ(error("optimizer.host.betas=[0.1, 2]"), "E0208 28");
  EXPECT_EQ(error("optimizer.host={name: adamw, lrr: 2}"), "E0201 30");
  EXPECT_EQ(error("seed.x=1"), "E0207 6");
  std::string deep = "a";
  for (int i = 0; i < 100; ++i) deep += ".a";
  EXPECT_EQ(error(deep + "=1"), "E0212 1");
}

}  // namespace
}  // namespace sing::config
