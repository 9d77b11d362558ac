#include "sing/nn/dropout.h"

#include "sing/backend/layer_scope.h"
#include "sing/core/error.h"
#include "sing/nn/context.h"
#include "sing/ops/dropout.h"

namespace sing::nn {

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1))
    throw ConfigError("dropout must be in [0, 1); got " + std::to_string(p), {}, {}, "E0208");
}

Tensor Dropout::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  if (!active()) return x;
  return ops::dropout(x, p_, dropout_key(path_hash(), path().c_str()));
}

}  // namespace sing::nn
