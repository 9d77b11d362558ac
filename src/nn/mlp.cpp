#include "sing/nn/mlp.h"

#include "sing/backend/layer_scope.h"

namespace sing::nn {

Mlp::Mlp(int64_t dim, int64_t hidden, double dropout, ops::Activation activation)
    : activation_(activation),
      fc1_(child<Linear>("fc1", dim, hidden, transformer_linear())),
      drop1_(child<Dropout>("drop1", dropout)),
      fc2_(child<Linear>("fc2", hidden, dim, transformer_linear())),
      drop2_(child<Dropout>("drop2", dropout)) {}

Tensor Mlp::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  return drop2_.forward(fc2_.forward(drop1_.forward(fc1_.forward(x, activation_))));
}

}  // namespace sing::nn
