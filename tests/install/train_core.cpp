// Trains a small network with SING + AdamW through sing::core alone: no YAML, no data set, no
// trainer. Ends with 1 unless the loss has fallen to a twentieth.
#include <array>
#include <cstdio>

#include "sing/config/bind.h"
#include "sing/core/random.h"
#include "sing/nn/linear.h"
#include "sing/ops/loss.h"
#include "sing/ops/unary.h"
#include "sing/optim/optimizer.h"

using namespace sing;

struct Net : nn::Module {
  nn::Linear& hidden = child<nn::Linear>("hidden", 2, 32);
  nn::Linear& out = child<nn::Linear>("out", 32, 1);
  Tensor forward(const Tensor& x) { return out.forward(ops::tanh(hidden.forward(x))); }
};

int main() {
  constexpr int64_t kSamples = 256;
  Tensor x = Tensor::empty({kSamples, 2}), y = Tensor::empty({kSamples, 1});  // y = x0 * x1
  Random random({.seed = 1});
  for (int64_t i = 0; i < kSamples; ++i) {
    float* row = x.mutable_data<float>() + 2 * i;
    for (int k = 0; k < 2; ++k) row[k] = static_cast<float>(2 * random.uniform() - 1);
    y.mutable_data<float>()[i] = row[0] * row[1];
  }

  Net net;
  net.initialize(0);
  config::Value host = config::Value::map();
  host.set("name", config::Value::scalar("adamw"));
  host.set("lr", config::Value::scalar("1e-2"));
  config::Value options = config::Value::map();
  options.set("host", host);
  auto config = config::bind<optim::OptimizerConfig>(options);
  config.transforms = {"sing"};
  optim::Optimizer optimizer(config, net.parameters());

  std::array<double, 2> loss_at{};
  for (int64_t step = 0; step <= 300; ++step) {
    optimizer.zero_grad();
    const Tensor loss = ops::mse_loss(net.forward(x), y);
    loss.backward();
    optimizer.step({.step = step});
    if (step % 300 == 0) loss_at[step > 0] = loss.item();
  }
  std::printf("loss %.5f -> %.5f\n", loss_at[0], loss_at[1]);
  return loss_at[1] < 0.05 * loss_at[0] ? 0 : 1;
}
