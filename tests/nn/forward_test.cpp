// What forward and backward passes of whole models promise beside their values.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "sing/autograd/autocast.h"
#include "sing/core/random.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/context.h"
#include "sing/nn/load.h"
#include "sing/nn/loss.h"
#include "sing/nn/models/resnet.h"
#include "sing/nn/models/vit.h"
#include "sing/optim/param_table.h"

namespace sing::nn {
namespace {

constexpr DataShape kDepth{.channels = 1, .height = 16, .width = 16, .outputs = 1};
constexpr DataShape kClasses{
    .channels = 3, .height = 16, .width = 16, .head = Head::classifier, .outputs = 4};

VitOptions small_vit(double dropout = 0) {
  VitOptions o;
  o.patch = 4;
  o.dim = 32;
  o.depth = 2;
  o.heads = 4;
  o.dropout = o.attention_dropout = dropout;
  return o;
}

ResnetOptions small_resnet() {
  ResnetOptions o;
  o.stem = Stem::cifar;
  o.width = 8;
  o.blocks = {1, 1, 1, 1};
  return o;
}

Tensor random(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  Init::normal(1).fill(t, {.seed = seed, .purpose = Purpose::test});
  return t;
}

using Gradients = std::map<std::string, std::vector<double>>;

Gradients gradients(Model& model) {
  Gradients result;
  for (const Parameter* p : model.parameters()) result[p->name] = p->grad().to_vector();
  return result;
}

double run(Model& model, const Tensor& input, const Tensor& target) {
  const config::Component<loss_kind> loss(model.shape().head == Head::classifier ? "cross_entropy"
                                                                                 : "mse");
  const Tensor value = loss.make()->forward(model.forward(input), target);
  value.backward();
  return value.item();
}

TEST(Forward, GradientsAddUpInTheFlatBuffer) {
  Vit model(small_vit(), kDepth);
  model.initialize(1);
  optim::ParamTable table(model.parameters());
  const Tensor x = random({3, 1, 16, 16}, 1), y = random({3, 1, 16, 16}, 2);
  run(model, x, y);
  const Gradients once = gradients(model);
  const int head = table.find("head.weight");
  EXPECT_TRUE(model.find_parameter("head.weight")->grad().same_as(table.gradient(head)));
  run(model, x, y);
  for (const auto& [name, twice] : gradients(model))
    for (size_t i = 0; i < twice.size(); ++i)
      // Adding into the buffer rounds in another place than doubling: a few eps of the largest
      // term.
      EXPECT_NEAR(twice[i], 2 * once.at(name)[i], 1e-5 * (1e-2 + std::abs(twice[i]))) << name;
  table.zero_grad();
  run(model, x, y);
  EXPECT_EQ(gradients(model), once);
}

TEST(Forward, Bf16IsCloseToF32) {
  const Tensor x = random({4, 1, 16, 16}, 1), y = random({4, 1, 16, 16}, 2);
  Vit wide(small_vit(), kDepth), narrow(small_vit(), kDepth);
  for (Vit* model : {&wide, &narrow}) model->initialize(1);
  const optim::ParamTable wide_table(wide.parameters()), narrow_table(narrow.parameters());
  const double loss = run(wide, x, y);
  narrow.set_precision(DType::bf16);
  const autocast::Guard autocast(DType::bf16);
  // Images come out wide, for the loss, with what bf16 can hold.
  const Tensor image = narrow.forward(x);
  EXPECT_EQ(image.dtype(), DType::f32);
  EXPECT_EQ(image.to_vector(), image.to(DType::bf16).to_vector());
  // bf16 keeps 8 bits: 0.4 % a step. The loss averages many of them; a gradient tensor as a whole
  // is compared by its norm, where a chain of some twenty steps leaves a few percent.
  EXPECT_NEAR(run(narrow, x, y), loss, 0.01 * loss);
  const Gradients wanted = gradients(wide);
  for (const auto& [name, got] : gradients(narrow)) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      error += std::pow(got[i] - wanted.at(name)[i], 2);
      norm += std::pow(wanted.at(name)[i], 2);
    }
    EXPECT_LE(std::sqrt(error), 0.05 * std::sqrt(norm) + 1e-5) << name;
  }
  for (const Parameter* p : narrow.parameters()) EXPECT_EQ(p->grad().dtype(), DType::f32);
}

TEST(Forward, ResnetInBf16) {
  const Tensor x = random({8, 3, 16, 16}, 1);
  const Tensor y = Tensor::from(std::vector<int64_t>{0, 1, 2, 3, 3, 2, 1, 0}, {8});
  Resnet wide(small_resnet(), kClasses), narrow(small_resnet(), kClasses);
  for (Resnet* model : {&wide, &narrow}) model->initialize(1);
  const optim::ParamTable wide_table(wide.parameters()), narrow_table(narrow.parameters());
  const double loss = run(wide, x, y);
  narrow.set_precision(DType::bf16);
  const autocast::Guard autocast(DType::bf16);
  EXPECT_NEAR(run(narrow, x, y), loss,
              0.05 * loss);  // as above; batch norm divides by small spreads
  EXPECT_EQ(narrow.find_parameter("bn1.weight")->working.dtype(), DType::f32);
  EXPECT_EQ(narrow.find_parameter("conv1.weight")->working.dtype(), DType::bf16);
}

TEST(Forward, RecomputationGivesTheSameBits) {
  const Tensor x = random({2, 1, 16, 16}, 1), y = random({2, 1, 16, 16}, 2);
  const auto pass = [&](bool recompute) {
    Vit model(small_vit(0.2), kDepth);
    model.initialize(1);
    const optim::ParamTable table(model.parameters());
    EXPECT_TRUE(model.set_recompute(recompute));
    const config::Component<loss_kind> loss("mse");
    Tensor value;
    {
      // The context ends with the forward pass: the second run has to carry it along.
      const ForwardContext context(5, 3);
      value = loss.make()->forward(model.forward(x), y);
    }
    const ForwardContext other(5, 4);
    value.backward();
    return gradients(model);
  };
  EXPECT_EQ(pass(true), pass(false));
}

TEST(Forward, RecomputationCountsBatchesOnce) {
  Resnet model(small_resnet(), kClasses);
  EXPECT_FALSE(model.set_recompute(true));  // not offered
  model.initialize(1);
  const Tensor x = random({4, 3, 16, 16}, 1);
  model.forward(x);
  EXPECT_EQ(named_tensors(model).at("bn1.num_batches_tracked").item(), 1);
  const std::vector<double> mean = named_tensors(model).at("bn1.running_mean").to_vector();
  model.train(false);
  model.forward(x);
  EXPECT_EQ(named_tensors(model).at("bn1.num_batches_tracked").item(), 1);
  EXPECT_EQ(named_tensors(model).at("bn1.running_mean").to_vector(), mean);
}

TEST(Forward, DropoutDependsOnPositionAndLayerOnly) {
  Vit model(small_vit(0.3), kDepth);
  model.initialize(1);
  const Tensor x = random({2, 1, 16, 16}, 1);
  const auto output = [&](uint64_t micro_step) {
    const ForwardContext context(5, micro_step);
    return model.forward(x).to_vector();
  };
  const std::vector<double> first = output(0);
  EXPECT_EQ(output(0), first);
  EXPECT_NE(output(1), first);
  EXPECT_THROW(model.forward(x), InternalError);  // training without a context
  const int before = num_threads();
  for (int threads = 1; threads <= 4; ++threads) {
    set_num_threads(threads);
    EXPECT_EQ(output(0), first) << threads;
  }
  set_num_threads(before);
  model.train(false);
  EXPECT_EQ(model.forward(x).to_vector(), model.forward(x).to_vector());

  Dropout a(0.5), b(0.5);  // two roots have one name, so one mask
  const ForwardContext context(5, 0);
  const Tensor ones = Tensor::full({1000}, 1);
  EXPECT_EQ(a.forward(ones).to_vector(), b.forward(ones).to_vector());
  EXPECT_THROW(Dropout(1.0), ConfigError);
  EXPECT_THROW(Dropout(-0.1), ConfigError);
}

TEST(Forward, InitialWeightsAreEqualForEveryThreadCount) {
  const auto weights = [](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    Resnet model(small_resnet(), kClasses);
    model.initialize(42);
    set_num_threads(before);
    Gradients result;
    for (const auto& [name, tensor] : named_tensors(model)) result[name] = tensor.to_vector();
    return result;
  };
  const Gradients one = weights(1);
  for (int threads = 2; threads <= 4; ++threads) EXPECT_EQ(weights(threads), one) << threads;
}

TEST(Forward, AResnetLearnsABatchByHeart) {
  Resnet model(small_resnet(), kClasses);
  model.initialize(1);
  optim::ParamTable table(model.parameters());
  const Tensor x = random({8, 3, 16, 16}, 1);
  const Tensor y = Tensor::from(std::vector<int64_t>{0, 1, 2, 3, 3, 2, 1, 0}, {8});
  double first = 0, last = 0;
  for (int step = 0; step < 12; ++step) {
    table.zero_grad();
    last = run(model, x, y);
    if (step == 0) first = last;
    for (Parameter* p : model.parameters()) {
      float* value = p->value.mutable_data<float>();
      const float* gradient = p->grad().data<float>();
      for (int64_t i = 0; i < p->value.numel(); ++i) value[i] -= 0.1f * gradient[i];
    }
  }
  EXPECT_GT(first, 1.0);  // log 4 = 1.39 knows nothing
  EXPECT_LT(last, 0.3);
}

}  // namespace
}  // namespace sing::nn
