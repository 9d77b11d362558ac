#include "sing/nn/model.h"

namespace sing::nn {

Model::~Model() = default;

Tensor Model::forward_batch(const Batch& batch) {
  return forward(batch.inputs());
}

bool Model::set_recompute(bool) {
  return false;
}

ModelKind& model_kind() {
  static ModelKind kind("model");
  return kind;
}

}  // namespace sing::nn
