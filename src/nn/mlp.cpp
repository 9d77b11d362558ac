#include "sing/nn/mlp.h"

#include "sing/backend/layer_scope.h"
#include "sing/ops/feed_forward.h"

namespace sing::nn {

Mlp::Mlp(int64_t dim, int64_t hidden, double dropout, ops::Activation activation)
    : activation_(activation),
      fc1_(child<Linear>("fc1", dim, hidden, transformer_linear())),
      drop1_(child<Dropout>("drop1", dropout)),
      fc2_(child<Linear>("fc2", hidden, dim, transformer_linear())),
      drop2_(child<Dropout>("drop2", dropout)) {}

Tensor Mlp::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  if (drop1_.active())
    return drop2_.forward(fc2_.forward(drop1_.forward(fc1_.forward(x, activation_))));
  // Nothing between the layers: their backward pass needs one pass less.
  return drop2_.forward(
      ops::feed_forward(x, fc1_.weight(), fc1_.bias(), fc2_.weight(), fc2_.bias(), activation_));
}

}  // namespace sing::nn
