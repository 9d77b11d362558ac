#include "sing/config/load.h"

#include <gtest/gtest.h>

#include <map>

#include "config/example_root.h"
#include "config/example_text.h"
#include "support/config_files.h"

namespace sing::config {
namespace {

using example::Root;
using testing::ConfigFolder;

using example::kFull;

std::string errors_of(const LoadRequest& request) {
  try {
    load<Root>(request);
  } catch (const ConfigErrors& e) {
    return render(e, "sing-train");
  }
  return "";
}

TEST(Load, ReadsTheShapeOfTheProduct) {
  const ConfigFolder folder;
  const auto loaded = load<Root>({{folder.write("a.yaml", kFull)}, {}, {}, {}});
  const Root& c = loaded.config;
  EXPECT_EQ(c.data.train_size, 50000);
  ASSERT_EQ(c.optimizer.transforms.size(), 1u);
  EXPECT_EQ(c.optimizer.transforms[0].name(), "sing");
  const auto* adamw = c.optimizer.host.options_as<example::AdamOptions>();
  ASSERT_TRUE(adamw);
  EXPECT_EQ(adamw->lr, 0.05);
  EXPECT_EQ(adamw->softplus_beta, 50.0);
  EXPECT_TRUE(adamw->decoupled) << "a default registered for adamw, not for adam";
  EXPECT_EQ(c.optimizer.host.make(2.0)->number, 0.1);
  ASSERT_TRUE(c.optimizer.lookahead);
  EXPECT_EQ(c.optimizer.schedule.options_as<example::CosineOptions>()->warmup, Duration::epochs(5));
  EXPECT_EQ(c.optimizer.groups[1].match.name, "head.*");
  EXPECT_EQ(c.train.precision, example::Precision::bf16);
  EXPECT_EQ(c.checkpoint.every, Duration::minutes(15));
  EXPECT_FALSE(c.train.threads);
}

TEST(Load, ErrorHasThePatternOfTheProduct) {
  const ConfigFolder folder;
  const std::string file = folder.write("a.yaml", R"(version: 1
seed: 1
model: vit_s
data:
  batch_size: 2
optimizer:
  transforms: [sing]
  host: {name: adamw, lr: 5e-2, wieght_decay: 5e-2, betas: [0.9, 0.999]}
)");
  EXPECT_EQ(errors_of({{file}, {}, {}, {}}),
            "sing-train: error[E0201]: unknown key 'wieght_decay'\n"
            "  --> " +
                file +
                ":8:33\n"
                "   8 |   host: {name: adamw, lr: 5e-2, wieght_decay: 5e-2, betas: [0.9, 0.999]}\n"
                "     |                                 ^^^^^^^^^^^^ did you mean 'weight_decay'?\n"
                "  keys of adamw: betas, decoupled, eps, lr, name, softplus_beta, weight_decay\n"
                "1 error; nothing was started\n");
}

TEST(Load, OverrideErrorsShowTheWord) {
  const ConfigFolder folder;
  const std::string file = folder.write("a.yaml", kFull);
  EXPECT_EQ(errors_of({{file}, {"optimizer.host.lr=abc"}, {}, {}}),
            "sing-train: error[E0207]: optimizer.host.lr must be a number > 0; got 'abc'\n"
            "  --> override 'optimizer.host.lr=abc'\n"
            "     | optimizer.host.lr=abc\n"
            "     |                   ^^^\n"
            "1 error; nothing was started\n");
}

}  // namespace
}  // namespace sing::config
