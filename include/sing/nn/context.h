#pragma once
#include <cstdint>
#include <optional>

#include "sing/core/export.h"
#include "sing/core/random.h"

namespace sing::nn {

/// What a forward pass knows beside its input: where in the run it stands. The trainer holds one on
/// its thread around forward and backward of each micro-batch; dropout layers draw from it, so
/// their masks are a function of (seed, micro-step, layer name, element). The one made last counts;
/// those before it come back when it goes.
class SING_API ForwardContext {
 public:
  struct Position {
    uint64_t seed = 0;
    uint64_t micro_step = 0;  ///< forward passes of training since the start of the run
  };
  ForwardContext(uint64_t seed, uint64_t micro_step) : ForwardContext(Position{seed, micro_step}) {}
  explicit ForwardContext(std::optional<Position> position);
  ~ForwardContext();
  ForwardContext(const ForwardContext&) = delete;
  ForwardContext& operator=(const ForwardContext&) = delete;

  /// Of this thread; nullopt outside of any.
  static std::optional<Position> current();

 private:
  std::optional<Position> before_;
};

/// The key of a layer's mask in the present context. Throws InternalError naming `layer` when there
/// is none.
SING_API RandomKey dropout_key(uint64_t layer_hash, const char* layer);

}  // namespace sing::nn
