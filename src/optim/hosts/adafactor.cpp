// AdaFactor (Shazeer & Stern 2018) as in fairseq, except that the rate of a tensor stays its own:
// there an external rate and scale_parameter compound. A step is clipped to a root mean square of
// clip_threshold; torch adds eps1 differently, others clip the wrong way round.
#include "optim/hosts/factored.h"
#include "optim/hosts/own_rate.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

struct AdaFactorOptions : HostOptions {
  double eps1 = 1e-30, eps2 = 1e-3;
  double clip_threshold = 1;
  double decay_rate = -0.8;
  std::optional<double> beta1;
  bool scale_parameter = true, relative_step = true, warmup_init = false;
  std::optional<double> softplus_beta;

  static void describe(config::Fields<AdaFactorOptions>& f) {
    using O = AdaFactorOptions;
    f.base<HostOptions>();
    f("eps1", &O::eps1, "added to the squares of the gradient").non_negative();
    f("eps2", &O::eps2, "size a tensor has at least, for scale_parameter").non_negative();
    f("clip_threshold", &O::clip_threshold, "largest root mean square of a step").positive();
    f("decay_rate", &O::decay_rate, "the past decays by 1 - step^decay_rate").at_most(0);
    f("beta1", &O::beta1, "decay of an average of the steps; null: none")
        .range(0, 1, config::Ends::low);
    f("scale_parameter", &O::scale_parameter, "steps in proportion to the size of the tensor");
    f("relative_step", &O::relative_step, "rate min(0.01, 1 / sqrt(step)) instead of lr");
    f("warmup_init", &O::warmup_init, "rate min(1e-6 step, 1 / sqrt(step))");
    f("softplus_beta", &O::softplus_beta, "soft floor of the root of the second moment; null: none")
        .positive();
    f.check([](const O& o, config::Checker& c) {
      if (o.warmup_init && !o.relative_step)
        c.fail("warmup_init", "warmup_init is a form of relative_step, which is off",
               "use the warm-up of a schedule");
    });
  }
};

/// Roots of a second moment that is kept whole.
template <class T>
struct WholeRoots {
  const T* v;
  SING_ALWAYS_INLINE void operator()(int64_t begin, int64_t n, T* out) const {
    for (int64_t e = 0; e < n; ++e) out[e] = std::sqrt(v[begin + e]);
  }
};

template <class T>
struct WholeMomentBody {
  struct Args {
    const UpdateRange& r;
    const FactorRule& rule;
    T* v;
    int64_t begin, end;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const T keep = static_cast<T>(a.rule.keep), weight = static_cast<T>(1 - a.rule.keep);
    const T eps = static_cast<T>(a.rule.eps);
    T g[kFactoredBite];
    for (int64_t begin = a.begin; begin < a.end; begin += kFactoredBite) {
      const int64_t n = std::min(kFactoredBite, a.end - begin);
      load_piece(a.r, begin, n, g);
      T* const v = a.v + begin;
      for (int64_t e = 0; e < n; ++e) v[e] = keep * v[e] + weight * (g[e] * g[e] + eps);
    }
  }
};

/// What becomes of u = g / root. Its squares are summed (`squares`), or it is applied.
template <class T, class Roots, bool kSoftplus>
struct StepBody {
  struct Args {
    const UpdateRange& r;
    const Roots& roots;
    Softplus<T> soft;
    int64_t begin, end;
    double* squares;  // not null: only measure
    T keep, rate;     // theta <- keep theta - rate u
    T* m;             // not null: the average of the steps is taken instead
    T beta1;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    T u[kFactoredBite], root[kFactoredBite];
    for (int64_t begin = a.begin; begin < a.end; begin += kFactoredBite) {
      const int64_t n = std::min(kFactoredBite, a.end - begin);
      load_piece(a.r, begin, n, u);
      a.roots(begin, n, root);
      for (int64_t e = 0; e < n; ++e) {
        const T d = kSoftplus ? a.soft(root[e]) : root[e];
        u[e] = d > 0 ? u[e] / d : 0;
      }
      if (a.squares != nullptr)
        *a.squares += sum_of_squares(u, n);
      else
        apply(a, static_cast<T*>(a.r.value) + begin, a.m == nullptr ? nullptr : a.m + begin, u, n);
    }
  }
  SING_ALWAYS_INLINE static void apply(const Args& a, T* value, T* m, const T* u, int64_t n) {
    const T keep = a.keep, rate = a.rate, beta1 = a.beta1, weight = 1 - a.beta1;
    if (m == nullptr) {
      for (int64_t e = 0; e < n; ++e) value[e] = value[e] * keep - rate * u[e];
      return;
    }
    for (int64_t e = 0; e < n; ++e) {
      m[e] = beta1 * m[e] + weight * (rate * u[e]);
      value[e] = value[e] * keep - m[e];
    }
  }
};

std::optional<Shape> without(const TensorMeta& meta, int from_end) {
  if (meta.rank() < 2) return std::nullopt;
  std::vector<int64_t> dims(meta.shape.begin(), meta.shape.end());
  dims.erase(dims.end() - from_end);
  return Shape(dims);
}

class AdaFactor final : public HostOptimizer {
 public:
  explicit AdaFactor(const AdaFactorOptions& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return true; }
  bool decays_itself() const override { return o_.decoupled.value_or(true); }
  bool has_momentum() const override { return o_.beta1.has_value(); }
  bool elementwise() const override { return false; }
  std::vector<SlotSpec> slots() const override {
    std::vector<SlotSpec> result{
        {"row", 0, [](const TensorMeta& meta) { return without(meta, 1); }},
        {"col", 0, [](const TensorMeta& meta) { return without(meta, 2); }},
        {"v", 0, [](const TensorMeta& meta) {
           return meta.rank() < 2 ? std::optional(meta.shape) : std::nullopt;
         }}};
    if (o_.beta1) result.push_back({"m"});
    return result;
  }
  void attach(std::span<const TensorMeta* const> tensors) override {
    int64_t elements = 0, matrices = 0;
    for (const TensorMeta* meta : tensors) {
      elements = std::max(elements, meta->numel());
      if (meta->rank() < 2 || meta->numel() == 0) continue;
      const MatrixLayout layout(*meta);
      if (layout.rows > 1) matrices = std::max(matrices, layout.matrices());
    }
    sums_.resize(static_cast<size_t>(elements / kFactoredPiece + 1));
    means_.resize(static_cast<size_t>(matrices));
  }

  void update(const UpdateRange& r) const override {
    if (r.end == 0) return;
    // The second moment sees the gradient itself, also behind adanorm.
    UpdateRange plain = r;
    plain.affine.first_moment = 1;
    const FactorRule rule{1 - std::pow(static_cast<double>(r.step), o_.decay_rate), o_.eps1};
    with_element(r.dtype, [&]<class T>() {
      if (r.meta->rank() < 2) {
        T* const v = static_cast<T*>(r.slots[2]);
        pieces(r.end, [&](int64_t begin, int64_t end) {
          using Body = WholeMomentBody<T>;
          run_best<Body>(typename Body::Args{plain, rule, v, begin, end});
        });
        return step<T>(r, WholeRoots<T>{v});
      }
      const MatrixLayout layout(*r.meta);
      T* const row = static_cast<T*>(r.slots[0]);
      T* const col = static_cast<T*>(r.slots[1]);
      update_factors(plain, layout, rule, row, col, means_.data());
      step<T>(r, FactoredRoots<T>{layout, row, col, means_.data()});
    });
  }
  void check(const OptimizerConfig& config, config::Checker& c) const override {
    if (o_.relative_step)
      refuse_schedule(config, c, "adafactor with relative_step",
                      "set relative_step: false (and usually scale_parameter: false)");
  }

 private:
  template <class F>
  static void pieces(int64_t n, const F& f) {
    parallel_ranges(n, kFactoredPiece, f);
  }

  /// Sum of sum_of_piece(begin, end) over the tensor, in the order of its pieces.
  template <class F>
  double total(int64_t n, const F& sum_of_piece) const {
    pieces(n, [&](int64_t begin, int64_t end) {
      sums_[static_cast<size_t>(begin / kFactoredPiece)] = sum_of_piece(begin, end);
    });
    double result = 0;
    for (int64_t begin = 0; begin < n; begin += kFactoredPiece)
      result += sums_[static_cast<size_t>(begin / kFactoredPiece)];
    return result;
  }

  /// The rate of one tensor.
  template <class T>
  double rate(const UpdateRange& r) const {
    const double t = static_cast<double>(r.step);
    double rate = r.lr;
    if (o_.relative_step) {
      rate = std::min(o_.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
      if (o_.lr > 0) rate *= r.lr / o_.lr;  // factors of groups and of the trainer
    }
    if (!o_.scale_parameter) return rate;
    const T* const value = static_cast<const T*>(r.value);
    const double squares = total(r.end, [&](int64_t begin, int64_t end) {
      return sum_of_squares(value + begin, end - begin);
    });
    return rate * std::max(o_.eps2, std::sqrt(squares / static_cast<double>(r.end)));
  }

  template <class T, class Roots>
  void step(const UpdateRange& r, const Roots& roots) const {
    if (o_.softplus_beta) return step<T, Roots, true>(r, roots);
    step<T, Roots, false>(r, roots);
  }
  template <class T, class Roots, bool kSoftplus>
  void step(const UpdateRange& r, const Roots& roots) const {
    using Body = StepBody<T, Roots, kSoftplus>;
    typename Body::Args args{r, roots, Softplus<T>(o_.softplus_beta.value_or(1))};
    const double squares = total(r.end, [&](int64_t begin, int64_t end) {
      double sum = 0;
      typename Body::Args piece = args;
      piece.begin = begin;
      piece.end = end;
      piece.squares = &sum;
      run_best<Body>(piece);
      return sum;
    });
    const double size = std::sqrt(squares / static_cast<double>(r.end));
    const double alpha = rate<T>(r);
    args.keep = static_cast<T>(decays_itself() ? 1 - alpha * r.weight_decay : 1);
    args.rate = static_cast<T>(alpha / std::max(1.0, size / o_.clip_threshold));
    if (o_.beta1) {
      args.m = static_cast<T*>(r.slots[3]);
      args.beta1 = static_cast<T>(r.momentum.value_or(*o_.beta1));
    }
    pieces(r.end, [&](int64_t begin, int64_t end) {
      typename Body::Args piece = args;
      piece.begin = begin;
      piece.end = end;
      run_best<Body>(piece);
    });
  }

  AdaFactorOptions o_;
  mutable std::vector<double> sums_;   // by piece
  mutable std::vector<double> means_;  // by matrix of a batch
};

const bool registered = add_host<AdaFactorOptions>(
    "adafactor", "adaptive steps with a second moment by rows and columns",
    [](const AdaFactorOptions& o) { return std::make_unique<AdaFactor>(o); });

}  // namespace
}  // namespace sing::optim
