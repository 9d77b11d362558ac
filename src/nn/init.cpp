#include "sing/nn/init.h"

#include <cmath>
#include <string>

#include "sing/backend/kernel_slot.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::nn {
namespace {

struct Fans {
  double in, out;
};

Fans fans(const Shape& shape) {
  if (shape.rank() < 2)
    throw ShapeError("init: a fan needs a weight of rank 2 or more; got " + to_string(shape));
  return {static_cast<double>(shape.with(0, 1).numel()),
          static_cast<double>(shape.with(1, 1).numel())};
}

// A rejected draw is replaced by that of the next round, which has a key of its own.
double truncated(RandomKey key, uint64_t index, double deviation, double low, double high) {
  constexpr uint64_t kRounds = 64;
  double value = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    key.epoch = round;
    value = deviation * random_normal(key, index);
    if (value >= low && value <= high) return value;
  }
  return std::fmin(std::fmax(value, low), high);
}

}  // namespace

Init Init::constant(double value) {
  return {Kind::constant, value};
}
Init Init::uniform(double bound) {
  return {Kind::uniform, bound};
}
Init Init::normal(double standard_deviation, double mean) {
  return {Kind::normal, standard_deviation, mean};
}
Init Init::truncated_normal(double standard_deviation, double low, double high) {
  SING_ASSERT(low < high);
  return {Kind::truncated_normal, standard_deviation, low, high};
}
Init Init::kaiming_uniform(double a, FanMode mode) {
  return {Kind::kaiming_uniform, a, 0, 0, mode};
}
Init Init::kaiming_normal(double a, FanMode mode) {
  return {Kind::kaiming_normal, a, 0, 0, mode};
}
Init Init::xavier_uniform(double gain) {
  return {Kind::xavier_uniform, gain};
}
Init Init::torch_default() {
  return kaiming_uniform(std::sqrt(5.0));
}
Init Init::bias_default(int64_t fan_in) {
  return uniform(1 / std::sqrt(static_cast<double>(fan_in)));
}

// The spread of the random kinds: half the width of a uniform one, the deviation of a normal one.
double Init::bound(const Shape& shape) const {
  switch (kind_) {
    case Kind::kaiming_uniform:
    case Kind::kaiming_normal: {
      const Fans fan = fans(shape);
      const double numerator = kind_ == Kind::kaiming_uniform ? 6 : 2;
      return std::sqrt(numerator / ((1 + a_ * a_) * (mode_ == FanMode::fan_in ? fan.in : fan.out)));
    }
    case Kind::xavier_uniform: {
      const Fans fan = fans(shape);
      return a_ * std::sqrt(6 / (fan.in + fan.out));
    }
    default:
      return a_;
  }
}

void Init::fill(Tensor& tensor, const RandomKey& key) const {
  if (tensor.numel() == 0) return;
  if (kind_ == Kind::constant) {
    tensor.fill(a_);
    return;
  }
  const double spread = bound(tensor.shape());
  const auto draw = [&](uint64_t index) {
    switch (kind_) {
      case Kind::normal:
        return b_ + spread * random_normal(key, index);
      case Kind::kaiming_normal:
        return spread * random_normal(key, index);
      case Kind::truncated_normal:
        return truncated(key, index, spread, b_, c_);
      default:
        return spread * (2 * random_uniform(key, index) - 1);
    }
  };
  if (backend::kernel_path() == backend::KernelPath::none) return;  // values do not matter
  const bool direct = tensor.dtype() == DType::f32 && tensor.is_contiguous();
  Tensor values = direct ? tensor : Tensor::empty(tensor.shape());
  float* to = values.mutable_data<float>();
  parallel_ranges(values.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      to[i] = static_cast<float>(draw(static_cast<uint64_t>(i)));
  });
  if (!direct) tensor.copy_from(values);
}

}  // namespace sing::nn
