#include "sing/nn/models/mlp_model.h"

#include <string>

#include "sing/core/error.h"
#include "sing/ops/reshape.h"

namespace sing::nn {
namespace {

int64_t output_values(const DataShape& s) {
  return s.head == Head::classifier ? s.outputs : Shape{s.outputs, s.height, s.width}.numel();
}

}  // namespace

MlpModel::MlpModel(const MlpModelOptions& o, const DataShape& data)
    : Model(resolve_shape(o, data)),
      activation_(o.activation == HiddenActivation::relu ? ops::Activation::relu
                                                         : ops::Activation::gelu) {
  int64_t in = Shape{shape().channels, shape().height, shape().width}.numel();
  for (size_t i = 0; i < o.hidden.size(); ++i) {
    layers_.push_back(&child<Linear>("layers." + std::to_string(i), in, o.hidden[i]));
    drops_.push_back(&child<Dropout>("drops." + std::to_string(i), o.dropout));
    in = o.hidden[i];
  }
  head_ = &child<Linear>("head", in, output_values(shape()),
                         LinearOptions{.extra_tags = static_cast<uint32_t>(Tag::head)});
}

Tensor MlpModel::forward(const Tensor& input) {
  const DataShape& s = shape();
  const int64_t n = input.size(0);
  if (input.rank() != 4 || input.shape() != Shape{n, s.channels, s.height, s.width})
    throw ShapeError("mlp: wanted images (N, " + std::to_string(s.channels) + ", " +
                     std::to_string(s.height) + ", " + std::to_string(s.width) + "); got " +
                     to_string(input.shape()));
  Tensor x = ops::reshape(input, {n, Shape{s.channels, s.height, s.width}.numel()});
  for (size_t i = 0; i < layers_.size(); ++i)
    x = drops_[i]->forward(layers_[i]->forward(x, activation_));
  x = head_->forward(x);
  return s.head == Head::classifier ? x : ops::reshape(x, {n, s.outputs, s.height, s.width});
}

int64_t MlpModel::forward_macs() const {
  double macs = head_->macs();
  for (const Linear* layer : layers_) macs += layer->macs();
  return whole_macs(macs);
}

void MlpModelOptions::describe(config::Fields<MlpModelOptions>& f) {
  using O = MlpModelOptions;
  describe_model(f);
  f("hidden", &O::hidden, "widths of the hidden layers").range(1, 1 << 20);
  f("activation", &O::activation, "after each hidden layer");
  f("dropout", &O::dropout, "after each hidden layer").range(0, 1, config::Ends::low);
}

namespace {
const bool kRegistered = model_kind().add<MlpModelOptions>(
    "mlp", "plain network on flattened images",
    [](const MlpModelOptions& o, const DataShape& data) -> std::unique_ptr<Model> {
      return std::make_unique<MlpModel>(o, data);
    });
}  // namespace
}  // namespace sing::nn
