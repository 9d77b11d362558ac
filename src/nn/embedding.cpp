#include "sing/nn/embedding.h"

#include "sing/backend/layer_scope.h"
#include "sing/ops/embedding.h"

namespace sing::nn {

Embedding::Embedding(int64_t rows, int64_t width, const Init& init, int64_t padding_idx)
    : weight_(parameter("weight", {rows, width}, init, Tag::weight | Tag::embedding)),
      padding_idx_(padding_idx) {}

Tensor Embedding::forward(const Tensor& indices) {
  const backend::LayerScope scope(path());
  return ops::embedding(weight_.working, indices, padding_idx_);
}

}  // namespace sing::nn
