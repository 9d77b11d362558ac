#pragma once
#include <optional>

#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Mixed precision lives at the top of each op: it asks for its inputs by policy, layers know
// nothing.
namespace sing::autocast {

enum class Policy {
  lower,  ///< matrix products, convolution, attention: f32 -> the autocast dtype
  widen,  ///< losses and other sums over many elements: bf16 and f16 -> f32
  keep,   ///< everything else
};

/// Recorded conversion of a floating tensor; itself when the dtype is already so.
SING_API Tensor cast(const Tensor& x, DType dtype);
/// x as the policy wants it in the current mode; undefined stays undefined. Without autocast every
/// policy keeps x as it is.
SING_API Tensor input(const Tensor& x, Policy policy);

SING_API std::optional<DType> dtype();
/// Autocast to `dtype` (bf16 or f16) on this thread while it lives; nullopt switches it off.
class SING_API Guard {
 public:
  explicit Guard(std::optional<DType> dtype);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  std::optional<DType> before_;
};

}  // namespace sing::autocast
