#pragma once
// AdaFactor on a device, all tensors at once.
#include <map>

#include "kernels/cuda/optim_matrix.h"
#include "optim/hosts/adafactor.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

/// g' of matrices to scratch, for the means of its squares; squares of the values.
struct TakeGradient {
  using Element = float;
  static constexpr int kSlots = 1;
  static constexpr int kSums = 1;
  SING_ALWAYS_INLINE void terms(float theta, float g, float, float* s, double* out) const {
    s[0] = g;
    out[0] = static_cast<double>(theta) * static_cast<double>(theta);
  }
};
/// The same for vectors, whose second moment is kept whole.
struct WholeMoment {
  using Element = float;
  static constexpr int kSlots = 1;
  static constexpr int kSums = 1;
  float keep, weight, eps;
  SING_ALWAYS_INLINE void terms(float theta, float g, float, float* s, double* out) const {
    s[0] = keep * s[0] + weight * (g * g + eps);
    out[0] = static_cast<double>(theta) * static_cast<double>(theta);
  }
};

template <bool kSoftplus>
SING_ALWAYS_INLINE float over_root(float g, float root, const Softplus<float>& soft) {
  const float d = kSoftplus ? soft(root) : root;
  return d > 0 ? g / d : 0;
}
/// u = g / root to scratch, and its squares.
template <bool kSoftplus>
struct WholeRatio {
  using Element = float;
  static constexpr int kSlots = 2;
  static constexpr int kSums = 1;
  Softplus<float> soft;
  SING_ALWAYS_INLINE void terms(float, float, float first, float* s, double* out) const {
    s[0] = over_root<kSoftplus>(first, std::sqrt(s[1]), soft);
    out[0] = static_cast<double>(s[0]) * static_cast<double>(s[0]);
  }
};
template <bool kSoftplus>
struct FactoredRatio {
  using Element = float;
  static constexpr int kSlots = 1;
  static constexpr int kSums = 1;
  Softplus<float> soft;
  uint32_t rows, cols, lanes;
  const float* row;
  const float* col;
  const double* means;
  SING_ALWAYS_INLINE float root(uint32_t index) const {
    const uint32_t k = index % lanes, place = index / lanes;
    const uint32_t j = place % cols, line = place / cols;
    const uint32_t i = line % rows;
    const int64_t matrix = static_cast<int64_t>(line / rows) * lanes + k;
    const float column = std::sqrt(col[matrix * cols + j]);
    if (rows == 1) return column;
    const float mean = static_cast<float>(means[matrix]);
    return (mean > 0 ? std::sqrt(row[matrix * rows + i] / mean) : 0) * column;
  }
  SING_ALWAYS_INLINE void terms(float, float, float first, float* s, double* out,
                                int64_t index) const {
    s[0] = over_root<kSoftplus>(first, root(static_cast<uint32_t>(index)), soft);
    out[0] = static_cast<double>(s[0]) * static_cast<double>(s[0]);
  }
};

/// theta <- keep theta - rate u, or minus the average of the steps.
template <bool kAverage>
struct ApplyRatio {
  using Element = float;
  static constexpr int kSlots = kAverage ? 2 : 1;
  float keep, rate, beta1;
  SING_ALWAYS_INLINE float operator()(float theta, float, float* s) const {
    if constexpr (!kAverage) return theta * keep - rate * s[0];
    s[1] = beta1 * s[1] + (1 - beta1) * (rate * s[0]);
    return theta * keep - s[1];
  }
};

/// Three passes over all tensors: squares of values and means of those of gradients; u and its
/// size; the step. A scratch copy holds first g', then u.
class AdaFactor final : public AdaFactorRule {
 public:
  using AdaFactorRule::AdaFactorRule;
  int passes() const override { return 3; }
  void attach(std::span<const TensorMeta* const> tensors) override {
    for (const TensorMeta* meta : tensors) {
      if (meta->numel() > UINT32_MAX)
        throw NotImplementedError("adafactor on a device takes tensors of up to 2^32 elements; " +
                                  meta->name + " has more");
      Scratch& own = scratch_[meta];
      own.ratio = Tensor::empty({meta->numel()}, {.device = device_of_backend()});
      if (meta->rank() > 1 && meta->numel() > 0)
        own.means = Tensor::empty({MatrixLayout(*meta).matrices()},
                                  {.dtype = DType::f64, .device = device_of_backend()});
    }
  }
  void update(const UpdateRange& r) const override {
    Scratch& own = scratch_.at(r.meta);
    UpdateRange range = r;
    range.slots[0] = own.ratio.mutable_raw();
    const bool matrix = r.meta->rank() > 1;
    if (r.pass == 0) {
      if (matrix) return run_sums(range, TakeGradient{});
      range.slots[0] = r.slots[2];
      const FactorRule rule = factor_rule(r);
      return run_sums(range,
                      WholeMoment{static_cast<float>(rule.keep), static_cast<float>(1 - rule.keep),
                                  static_cast<float>(rule.eps)});
    }
    if (r.pass == 1)
      return with_flags([&]<bool kSoftplus>() { take_ratio<kSoftplus>(r, range, own); },
                        o_.softplus_beta.has_value());
    range.slots[1] = r.slots[3];
    with_flags(
        [&]<bool kAverage>() {
          run_update(
              range,
              ApplyRatio<kAverage>{
                  static_cast<float>(decays_itself() ? 1 - r.numbers[0] * r.weight_decay : 1),
                  static_cast<float>(r.numbers[1]),
                  static_cast<float>(r.momentum.value_or(o_.beta1.value_or(0)))});
        },
        o_.beta1.has_value());
  }
  void end_pass(int pass, std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors) {
      if (r.end == 0) continue;
      if (pass == 1) {
        r.numbers[1] = clipped(r, r.numbers[0], r.totals[0]);
        continue;
      }
      r.numbers[0] = o_.scale_parameter ? scaled_rate(r, r.totals[0]) : plain_rate(r);
      if (r.meta->rank() < 2) continue;
      const MatrixLayout l(*r.meta);
      const FactorRule rule = factor_rule(r);
      Scratch& own = scratch_.at(r.meta);
      cuda::update_factors({{},
                            own.ratio.data<float>(),
                            l.outer,
                            l.rows,
                            l.cols,
                            l.lanes,
                            rule.keep,
                            rule.eps,
                            static_cast<float*>(r.slots[0]),
                            static_cast<float*>(r.slots[1]),
                            own.means.mutable_data<double>()});
    }
  }

 private:
  struct Scratch {
    Tensor ratio, means;
  };
  template <bool kSoftplus>
  void take_ratio(const UpdateRange& r, UpdateRange& range, Scratch& own) const {
    const Softplus<float> soft(o_.softplus_beta.value_or(1));
    if (range.meta->rank() < 2) {
      range.slots[1] = r.slots[2];
      return run_sums(range, WholeRatio<kSoftplus>{soft});
    }
    if (range.end == 0) return;
    const MatrixLayout l(*range.meta);
    run_sums(range, FactoredRatio<kSoftplus>{
                        soft, static_cast<uint32_t>(l.rows), static_cast<uint32_t>(l.cols),
                        static_cast<uint32_t>(l.lanes), static_cast<const float*>(r.slots[0]),
                        static_cast<const float*>(r.slots[1]), own.means.data<double>()});
  }

  mutable std::map<const TensorMeta*, Scratch> scratch_;
};

}  // namespace
}  // namespace sing::optim
