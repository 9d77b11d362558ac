#pragma once
#include <cstdint>

#include "sing/core/export.h"
#include "sing/core/random.h"
#include "sing/tensor/tensor.h"

namespace sing::nn {

enum class FanMode : uint8_t { fan_in, fan_out };

/// How a parameter's first values are made: each value is a function of the key and of its
/// row-major index alone, so neither threads nor the order of construction can change it.
///
/// Fans of a weight (out, in, k...): fan_in = in * prod(k), fan_out = out * prod(k); those of other
/// ranks below 2 throw ShapeError when filled.
class SING_API Init {
 public:
  static Init constant(double value);
  static Init zeros() { return constant(0); }
  static Init ones() { return constant(1); }
  /// In [-bound, bound).
  static Init uniform(double bound);
  static Init normal(double standard_deviation, double mean = 0);
  /// Normal values outside [low, high] are drawn anew. The limits are absolute, not in deviations
  /// (so 0.02 cut at 2 is hardly ever cut), as in PyTorch's trunc_normal_.
  static Init truncated_normal(double standard_deviation, double low = -2, double high = 2);
  /// He et al. 2015: U(-b, b), b = sqrt(6 / ((1 + a^2) fan)), for a leaky slope a.
  static Init kaiming_uniform(double a = 0, FanMode mode = FanMode::fan_in);
  /// The same variance, normal: sigma = sqrt(2 / ((1 + a^2) fan)).
  static Init kaiming_normal(double a = 0, FanMode mode = FanMode::fan_in);
  /// Glorot & Bengio 2010: U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)).
  static Init xavier_uniform(double gain = 1);
  /// What PyTorch gives to convolution and linear weights: kaiming_uniform with a = sqrt(5), that
  /// is b = 1 / sqrt(fan_in). Their biases: bias_default(fan_in), the same bound.
  static Init torch_default();
  static Init bias_default(int64_t fan_in);

  /// Writes every element of `tensor` (floating, dense, on the host).
  void fill(Tensor& tensor, const RandomKey& key) const;

 private:
  enum class Kind : uint8_t {
    constant,
    uniform,
    normal,
    truncated_normal,
    kaiming_uniform,
    kaiming_normal,
    xavier_uniform,
  };
  Init(Kind kind, double a, double b = 0, double c = 0, FanMode mode = FanMode::fan_in)
      : kind_(kind), mode_(mode), a_(a), b_(b), c_(c) {}
  double bound(const Shape& shape) const;

  Kind kind_;
  FanMode mode_;
  double a_, b_, c_;
};

}  // namespace sing::nn
