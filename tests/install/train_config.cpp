// The same through sing::train: everything is said in YAML, names are looked up, and what the user
// registers here is found as well. Ends with 1 unless the loss falls.
#include <cstdio>
#include <string>

#include "sing/config/bind.h"
#include "sing/config/yaml.h"
#include "sing/data/loader.h"
#include "sing/data/source.h"
#include "sing/nn/loss.h"
#include "sing/nn/model.h"
#include "sing/ops/arithmetic.h"
#include "sing/optim/optimizer.h"

using namespace sing;

constexpr const char* kText = R"(
data: {name: rde, preset: quick, train_size: 256, batch_size: 32, workers: 1}
model: {name: mlp, hidden: [64]}
loss: halved_mse
optimizer:
  transforms: [sing]
  host: {name: adamw, lr: 1e-2}
)";

// A loss of the user's own, known by name from here on.
struct HalvedMse : nn::Loss {
  Tensor forward(const Tensor& output, const Tensor& targets) const override {
    return ops::mul_scalar(mse_->forward(output, targets), 0.5);
  }
  void check(nn::Head head) const override { mse_->check(head); }
  std::unique_ptr<nn::Loss> mse_ = config::Component<nn::loss_kind>("mse").make();
};
struct NoOptions {
  static void describe(config::Fields<NoOptions>&) {}
};
const bool registered = nn::loss_kind().add<NoOptions>(
    "halved_mse", "half the mean square",
    [](const NoOptions&) -> std::unique_ptr<nn::Loss> { return std::make_unique<HalvedMse>(); });

struct Options {
  config::Component<data::dataset_registry> data;
  config::Component<nn::model_kind> model;
  config::Component<nn::loss_kind> loss;
  optim::OptimizerConfig optimizer;
  static void describe(config::Fields<Options>& f) {
    f("data", &Options::data, "what to learn from");
    f("model", &Options::model, "what learns");
    f("loss", &Options::loss, "what to make small");
    f("optimizer", &Options::optimizer, "how");
  }
};

int main() try {
  config::Problems problems;
  const auto tree = config::read_yaml(kText, "inline", problems);
  problems.raise();
  const auto options = config::bind<Options>(tree.value());

  const auto source = options.data.make();
  const auto dataset = source->open(data::Split::train);
  data::Loader loader(dataset, data::loader_options(source->batches(), data::Split::train, 0));
  const Shape image = dataset->field("inputs").shape;
  const auto model = options.model.make(nn::DataShape{.channels = image[0],
                                                      .height = image[1],
                                                      .width = image[2],
                                                      .head = nn::Head::image_to_image,
                                                      .outputs = image[0]});
  model->initialize(0);
  const auto loss_function = options.loss.make();
  optim::Optimizer optimizer(options.optimizer, model->parameters());

  double first = 0, last = 0;
  Batch batch;
  for (int64_t step = 0; step < 40 && loader.next(batch); ++step) {
    optimizer.zero_grad();
    const Tensor loss = loss_function->forward(model->forward_batch(batch), batch);
    loss.backward();
    optimizer.step({.step = step});
    (step == 0 ? first : last) = loss.item();
  }
  std::printf("loss %.5f -> %.5f\n", first, last);
  return last < 0.5 * first ? 0 : 1;
} catch (const Error& error) {
  std::fprintf(stderr, "error[%s]: %s\n", error.code().c_str(), error.what());
  return static_cast<int>(error.exit_code());
}
