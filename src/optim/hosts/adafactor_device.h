#pragma once
// AdaFactor on a device, all tensors at once.
#include <map>

#include "kernels/cuda/optim_matrix.h"
#include "optim/device/buffers.h"
#include "optim/hosts/adafactor.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

/// g' of matrices to scratch, for the means of its squares; squares of the values.
struct TakeGradient {
  using Element = float;
  static constexpr int kSlots = 1;
  static constexpr int kSums = 1;
  cuda::FactorNumbers factors;  // for the kernels of those means: the first of the record's functor
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
  double weight_decay;
  float beta1, keep = 1, rate = 0;
  SING_ALWAYS_INLINE void take(const double* results) {
    keep = static_cast<float>(1 - results[0] * weight_decay);
    rate = static_cast<float>(results[1]);
  }
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
    std::vector<cuda::FactorItem> first, second;
    for (size_t k = 0; k < tensors.size(); ++k) {
      const TensorMeta* const meta = tensors[k];
      if (meta->numel() > UINT32_MAX)
        throw NotImplementedError("adafactor on a device takes tensors of up to 2^32 elements; " +
                                  meta->name + " has more");
      if (meta->numel() == 0) continue;
      Scratch& own = scratch_[meta];
      own.ratio = Tensor::empty({meta->numel()}, {.device = device_of_backend()});
      if (meta->rank() < 2) continue;
      const MatrixLayout l(*meta);
      own.factors = {0, 0, l.outer, l.rows, l.cols, l.lanes, nullptr, nullptr};
      cuda::add_factor_items(own.factors, static_cast<int32_t>(k), first, second);
      own.means = DeviceArray<double>(static_cast<size_t>(l.matrices()), device_of_backend());
      own.partials = DeviceArray<double>(static_cast<size_t>(cuda::factor_partials(own.factors)),
                                         device_of_backend());
      own.factors.means = own.means.data();
      own.factors.partials = own.partials.data();
    }
    first_count_ = static_cast<int64_t>(first.size());
    second_count_ = static_cast<int64_t>(second.size());
    first_ = {first, device_of_backend()};
    second_ = {second, device_of_backend()};
  }
  void update(const UpdateRange& r) const override {
    if (r.end == 0) return;
    const Scratch& own = scratch_.at(r.meta);
    const bool matrix = r.meta->rank() > 1;
    UpdateRange range = r;
    range.slots = {const_cast<void*>(own.ratio.raw()), nullptr, nullptr, nullptr};
    if (r.pass == 0) return matrix ? take_gradient(r, range, own) : move_whole_moment(r, range);
    if (r.pass == 1)
      return with_flags([&]<bool kSoftplus>() { take_ratio<kSoftplus>(r, range, own); },
                        o_.softplus_beta.has_value());
    range.slots[1] = r.slots[3];
    with_flags(
        [&]<bool kAverage>() {
          run_update(range, ApplyRatio<kAverage>{
                                decays_itself() ? r.weight_decay : 0,
                                static_cast<float>(r.momentum.value_or(o_.beta1.value_or(0)))});
        },
        o_.beta1.has_value());
  }
  /// The means of the squares of g', of all matrices at once.
  void between(int pass, const DevicePass& at) const override {
    if (pass != 0) return;
    cuda::factor_sums({{}, first_.data(), first_count_, at.records, at.report});
    cuda::factor_means({{}, second_.data(), second_count_, at.records, at.report});
  }

 private:
  struct Scratch {
    Tensor ratio;
    cuda::FactorNumbers factors{};
    DeviceArray<double> means, partials;
  };
  void take_gradient(const UpdateRange& r, UpdateRange& range, const Scratch& own) const {
    const FactorRule rule = factor_rule(r);
    TakeGradient terms{own.factors};
    terms.factors.keep = rule.keep;
    terms.factors.eps = rule.eps;
    range.slots[1] = r.slots[0];
    range.slots[2] = r.slots[1];
    run_sums(range, terms, rate(r));
  }
  void move_whole_moment(const UpdateRange& r, UpdateRange& range) const {
    const FactorRule rule = factor_rule(r);
    range.slots[0] = r.slots[2];
    run_sums(range,
             WholeMoment{static_cast<float>(rule.keep), static_cast<float>(1 - rule.keep),
                         static_cast<float>(rule.eps)},
             rate(r));
  }
  template <bool kSoftplus>
  void take_ratio(const UpdateRange& r, UpdateRange& range, const Scratch& own) const {
    const Softplus<float> soft(o_.softplus_beta.value_or(1));
    if (range.meta->rank() < 2) {
      range.slots[1] = r.slots[2];
      return run_sums(range, WholeRatio<kSoftplus>{soft}, clip(r));
    }
    const cuda::FactorNumbers& l = own.factors;
    run_sums(range,
             FactoredRatio<kSoftplus>{soft, static_cast<uint32_t>(l.rows),
                                      static_cast<uint32_t>(l.cols), static_cast<uint32_t>(l.lanes),
                                      static_cast<const float*>(r.slots[0]),
                                      static_cast<const float*>(r.slots[1]), l.means},
             clip(r));
  }

  std::map<const TensorMeta*, Scratch> scratch_;
  DeviceArray<cuda::FactorItem> first_, second_;
  int64_t first_count_ = 0, second_count_ = 0;
};

}  // namespace
}  // namespace sing::optim
