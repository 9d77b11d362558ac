#include "sing/nn/model.h"

#include <algorithm>

namespace sing::nn {

Model::~Model() = default;

Tensor Model::forward_batch(const Batch& batch) {
  return forward(batch.inputs());
}

bool Model::set_recompute(bool) {
  return false;
}

int64_t whole_macs(double macs) {
  return static_cast<int64_t>(std::min(macs, 0x1p62));
}

ModelKind& model_kind() {
  static ModelKind kind("model");
  return kind;
}

}  // namespace sing::nn
