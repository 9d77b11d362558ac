// Muon (Jordan et al. 2024): momentum whose steps are made orthogonal, for tensors of two or more
// dimensions, which are taken as [first dimension, all others]. Vectors, embeddings and the head
// have an optimizer of their own. In the authors' file the iteration is in bf16; here it is in the
// dtype of the parameters.
#include <map>

#include "optim/elementwise.h"
#include "optim/hosts/adam.h"
#include "optim/hosts/newton_schulz.h"
#if defined(SING_OPTIM_DEVICE)
#include "kernels/cuda/optim_matrix.h"
#include "optim/device/buffers.h"
#endif

namespace sing::optim {
namespace {

enum class MuonScale : uint8_t {
  spectral,   // sqrt(max(1, rows / cols))
  match_rms,  // 0.2 sqrt(max(rows, cols)): elements as large as AdamW's
};
config::EnumNames<MuonScale> enum_names(MuonScale) {
  return {{"spectral", MuonScale::spectral}, {"match_rms", MuonScale::match_rms}};
}

config::Component<host_kind> default_auxiliary() {
  AdamOptions options;
  options.lr = 3e-4;
  options.betas = {0.9, 0.95};
  options.eps = 1e-10;
  config::Component<host_kind> adamw;
  // By way of the base: adamw may be registered after muon, so its name cannot be looked up yet.
  static_cast<config::ComponentBase&>(adamw) =
      config::ComponentBase("adamw", std::make_shared<const AdamOptions>(options));
  return adamw;
}

struct MuonOptions : HardHostOptions {
  double momentum = 0.95;
  bool nesterov = true;
  int64_t ns_steps = 5;
  MuonScale scale = MuonScale::spectral;
  config::Component<host_kind> auxiliary = default_auxiliary();

  MuonOptions() { lr = 0.02; }
  static void describe(config::Fields<MuonOptions>& f) {
    f.base<HardHostOptions>();
    f("momentum", &MuonOptions::momentum, "decay of the average").range(0, 1, config::Ends::low);
    f("nesterov", &MuonOptions::nesterov, "step along the average as it would be one step on");
    f("ns_steps", &MuonOptions::ns_steps, "steps towards an orthogonal matrix").at_least(1);
    f("scale", &MuonOptions::scale, "length of a step by the shape of its matrix");
    f("auxiliary", &MuonOptions::auxiliary, "host of vectors, embeddings and the head");
  }
};

/// m <- momentum m + (1 - momentum) g; the direction goes to the second slot.
template <class T, bool kNesterov>
struct MuonDirection {
  using Element = T;
  static constexpr int kSlots = 2;
  static constexpr int kSums = 1;
  T momentum, weight;
  SING_ALWAYS_INLINE void terms(T, T, T first, T* s, double* out) const {
    s[0] = momentum * s[0] + weight * first;
    s[1] = kNesterov ? weight * first + momentum * s[0] : s[0];
    out[0] = static_cast<double>(s[1]) * static_cast<double>(s[1]);
  }
};

/// What the direction is multiplied with ahead of the iteration.
struct MuonLength {
  SING_ALWAYS_INLINE void operator()(const double* totals, double* results) const {
    results[0] = 1 / NewtonSchulz::divisor(std::sqrt(totals[0]));
  }
};

/// theta - rate X, X in the only slot.
template <class T>
struct MuonStep {
  using Element = T;
  static constexpr int kSlots = 1;
  T rate;
  SING_ALWAYS_INLINE T operator()(T theta, T, T* s) const { return theta - rate * s[0]; }
};

class MuonRule : public HostOptimizer {
 public:
  explicit MuonRule(const MuonOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return true; }
  bool has_momentum() const override { return true; }
  std::vector<SlotSpec> slots() const override { return {{"m"}}; }
  bool takes(const TensorMeta& meta) const override {
    constexpr uint32_t kOthers =
        nn::Tag::embedding | nn::Tag::position | nn::Tag::token | nn::Tag::head;
    return meta.rank() >= 2 && (meta.tags & kOthers) == 0;
  }
  const config::Component<host_kind>* auxiliary() const override { return &o_.auxiliary; }

 protected:
  /// The average goes on; the direction is written to the second slot, its squares are summed.
  template <class T>
  void take_direction(const UpdateRange& r) const {
    const double momentum = r.momentum.value_or(o_.momentum);
    with_flags(
        [&]<bool kNesterov>() {
          run_sums(
              r,
              MuonDirection<T, kNesterov>{static_cast<T>(momentum), static_cast<T>(1 - momentum)},
              MuonLength{});
        },
        o_.nesterov);
  }
  template <class T>
  MuonStep<T> step(const UpdateRange& r) const {
    return {static_cast<T>(r.lr * scale(*r.meta))};
  }
  double scale(const TensorMeta& meta) const {
    const double rows = static_cast<double>(meta.rows), cols = static_cast<double>(meta.cols);
    return o_.scale == MuonScale::spectral ? std::sqrt(std::max(1.0, rows / cols))
                                           : 0.2 * std::sqrt(std::max(rows, cols));
  }

  MuonOptions o_;
  mutable NewtonSchulz orthogonal_;
};

#if defined(SING_OPTIM_DEVICE)
/// All directions first, then the iterations, then all steps. Matrices of one shape go through the
/// iteration together.
class Muon final : public MuonRule {
 public:
  using MuonRule::MuonRule;
  int passes() const override { return 2; }
  void attach(std::span<const TensorMeta* const> tensors) override {
    std::map<std::pair<int64_t, int64_t>, std::vector<int32_t>> by_shape;
    for (size_t k = 0; k < tensors.size(); ++k)
      if (tensors[k]->numel() > 0)
        by_shape[{tensors[k]->rows, tensors[k]->cols}].push_back(static_cast<int32_t>(k));
    std::vector<NewtonSchulz::Batch> batches;
    int64_t elements = 0;
    for (const auto& [shape, all] : by_shape) {
      const auto [rows, cols] = shape;
      const int64_t stride = (rows * cols + kPad - 1) / kPad * kPad;
      const auto most = static_cast<size_t>(std::max<int64_t>(1, kBatchElements / stride));
      for (size_t begin = 0; begin < all.size(); begin += most) {
        const size_t count = std::min(most, all.size() - begin);
        const std::vector<int32_t> records(all.begin() + static_cast<ptrdiff_t>(begin),
                                           all.begin() + static_cast<ptrdiff_t>(begin + count));
        Group& group = groups_.emplace_back();
        group.batch = {rows, cols, static_cast<int64_t>(count), stride};
        group.records = {records, device_of_backend()};
        group.directions =
            Tensor::zeros({static_cast<int64_t>(count) * stride}, {.device = device_of_backend()});
        for (size_t m = 0; m < count; ++m)
          directions_[tensors[static_cast<size_t>(records[m])]] =
              group.directions.mutable_data<float>() + static_cast<int64_t>(m) * stride;
        batches.push_back(group.batch);
        elements = std::max(elements, group.directions.numel());
      }
    }
    other_ = Tensor::zeros({elements}, {.device = device_of_backend()});
    orthogonal_.reserve({.device = device_of_backend()}, batches);
  }
  void update(const UpdateRange& r) const override {
    if (r.end == 0) return;
    UpdateRange range = r;
    float* const direction = directions_.at(r.meta);
    if (r.pass == 0) {
      range.slots[1] = direction;
      return take_direction<float>(range);
    }
    range.slots[0] = direction;
    run_update(range, step<float>(range));
  }
  void between(int, const DevicePass& at) const override {
    for (Group& group : groups_) {
      const NewtonSchulz::Batch& batch = group.batch;
      // It ends where it began after an even number of steps.
      Tensor& start = o_.ns_steps % 2 == 0 ? group.directions : other_;
      Tensor& other = o_.ns_steps % 2 == 0 ? other_ : group.directions;
      cuda::scale_matrices({{},
                            group.directions.data<float>(),
                            start.mutable_data<float>(),
                            batch.rows * batch.cols,
                            batch.stride,
                            batch.count,
                            group.records.data(),
                            at.results});
      orthogonal_.run(start, other, batch, o_.ns_steps);
    }
  }

 private:
  static constexpr int64_t kPad = 64;  // elements: products read 16 bytes at once
  static constexpr int64_t kBatchElements = int64_t{1} << 25;  // of scratch beside the directions
  struct Group {
    NewtonSchulz::Batch batch{};
    DeviceArray<int32_t> records;
    Tensor directions;
  };
  mutable std::vector<Group> groups_;
  std::map<const TensorMeta*, float*> directions_;
  mutable Tensor other_;
};
#else
class Muon final : public MuonRule {
 public:
  using MuonRule::MuonRule;
  bool elementwise() const override { return false; }
  void attach(std::span<const TensorMeta* const> tensors) override {
    int64_t elements = 0;
    std::vector<NewtonSchulz::Batch> shapes;
    for (const TensorMeta* meta : tensors) {
      elements = std::max(elements, meta->numel());
      shapes.push_back({meta->rows, meta->cols});
    }
    if (elements == 0) return;
    const TensorOptions options{.dtype = tensors[0]->dtype};
    orthogonal_.reserve(options, shapes);
    direction_ = Tensor::empty({elements}, options);
    other_ = Tensor::empty({elements}, options);
    sums_.resize(static_cast<size_t>((elements - 1) / kRangePiece + 1));
  }

  void update(const UpdateRange& r) const override {
    if (r.end == 0) return;
    // Storage order permutes the columns of channels-last filters, which changes nothing here.
    UpdateRange whole = r;
    whole.slots[1] = direction_.mutable_raw();
    with_element(r.dtype, [&]<class T>() {
      for_pieces(whole, [&](UpdateRange piece) {
        double& sum = sums_[static_cast<size_t>(piece.begin / kRangePiece)];
        sum = 0;
        piece.sums = &sum;
        take_direction<T>(piece);
      });
      double squares = 0, factor = 0;
      for (int64_t begin = 0; begin < whole.end; begin += kRangePiece)
        squares += sums_[static_cast<size_t>(begin / kRangePiece)];
      MuonLength{}(&squares, &factor);
      NewtonSchulz::scale(direction_, factor, r.end);
      whole.slots[0] =
          orthogonal_.run(direction_, other_, {r.meta->rows, r.meta->cols}, o_.ns_steps)
              .mutable_raw();
      for_pieces(whole, [&](const UpdateRange& piece) { run_update(piece, step<T>(piece)); });
    });
  }

 private:
  mutable Tensor direction_, other_;
  mutable std::vector<double> sums_;
};
#endif

const bool registered =
    add_host<MuonOptions>("muon", "orthogonal steps for matrices, another host for the rest",
                          [](const MuonOptions& o) { return std::make_unique<Muon>(o); });

}  // namespace
}  // namespace sing::optim
