#pragma once
#include <cstdint>
#include <string>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::nn {

/// What a parameter is for; a bit set, so that groups can match by it (`match: {tags: [norm]}`).
enum class Tag : uint32_t {
  weight = 1,
  bias = 2,
  norm = 4,
  embedding = 8,
  position = 16,
  token = 32,
  scale = 64,
  head = 128,
};
constexpr uint32_t operator|(Tag a, Tag b) {
  return static_cast<uint32_t>(a) | static_cast<uint32_t>(b);
}
constexpr uint32_t operator|(uint32_t a, Tag b) {
  return a | static_cast<uint32_t>(b);
}
constexpr bool has_tag(uint32_t tags, Tag tag) {
  return (tags & static_cast<uint32_t>(tag)) != 0;
}

/// A trained tensor, owned by its module; its address is stable. Logical shape is output-first.
struct Parameter {
  std::string name;  ///< full path, "blocks.3.attn.qkv.weight", set when the model is initialised
  uint32_t tags = 0;
  Tensor value;    ///< the master, f32 (f64 in tests): what the optimizer changes
  Tensor working;  ///< what layers read: `value` itself, or its bf16 copy in mixed precision
  bool trainable = true;
  bool keep_wide = false;  ///< layers read the master itself whatever the precision

  /// The gradient buffer: same shape as value, dtype of value; collected through `working`.
  /// Undefined until allocated or reached by a backward pass.
  const Tensor& grad() const { return working.grad(); }
};

}  // namespace sing::nn
