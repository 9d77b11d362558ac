#pragma once
#include "sing/core/export.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// Rows by index. indices: (...), i64 or i32 -> (..., width). Parameter weight: (rows, width).
class SING_API Embedding : public Module {
 public:
  /// Row `padding_idx` (negative: none) gets no gradient; its first values are those of `init` all
  /// the same.
  Embedding(int64_t rows, int64_t width, const Init& init = Init::normal(1),
            int64_t padding_idx = -1);
  Tensor forward(const Tensor& indices);

 private:
  Parameter& weight_;
  int64_t padding_idx_;
};

}  // namespace sing::nn
