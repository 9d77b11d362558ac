#pragma once
#include <cstdint>
#include <string>

#include "sing/core/export.h"
#include "sing/nn/model.h"

namespace sing::nn {

/// Sizes of a model; nothing of it needs `initialize`.
struct ModelSize {
  int64_t parameters = 0, trainable = 0;          ///< elements
  int64_t tensors = 0, trainable_tensors = 0;     ///< D of SING is trainable_tensors
  int64_t norm_parameters = 0, norm_tensors = 0;  ///< of these, the affine parts of norm layers
};
SING_API ModelSize model_size(const Module& module);

/// "22,050,664".
SING_API std::string with_commas(int64_t n);

/// A table of every parameter (name, shape, elements, tags, whether frozen) and totals, for
/// `sing summary`. Repeated blocks ("blocks.0", "blocks.1", ...) are written once when `fold`.
SING_API std::string summary_text(const Model& model, bool fold = true);

}  // namespace sing::nn
