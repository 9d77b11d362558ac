#include "sing/ops/dropout.h"

#include <cmath>

#include "kernels/dropout.h"
#include "ops/vision_checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

Tensor masked(const Tensor& x, double p, const RandomKey& key) {
  Tensor y = Tensor::empty(x.shape(), {.dtype = x.dtype(), .device = x.device()});
  kernels::DropoutArgs a{};
  a.x = x.raw();
  a.y = y.mutable_raw();
  a.dtype = x.dtype();
  a.n = x.numel();
  a.key = key;
  a.threshold = static_cast<uint64_t>(std::llround(p * 0x1p32));
  a.scale = p < 1 ? 1 / (1 - p) : 0;
  kernels::dropout_map(x.device().type, a);
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, const RandomKey& key, bool training) {
  const backend::OpScope scope("dropout");
  check_floating("dropout", "x", x);
  if (!(p >= 0 && p <= 1))
    throw ConfigError("dropout: p must be in [0, 1]; got " + std::to_string(p));
  if (!training || p == 0) return x;
  return autograd::record("dropout", {x}, masked(x.contiguous(), p, key),
                          [p, key](const Tensor& grad, const autograd::Needs&) {
                            return autograd::GradList{masked(grad.contiguous(), p, key)};
                          });
}

}  // namespace sing::ops
