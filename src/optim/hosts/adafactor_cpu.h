#pragma once
// AdaFactor on the CPU, tensor by tensor.
#include "optim/hosts/adafactor.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

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

class AdaFactor final : public AdaFactorRule {
 public:
  using AdaFactorRule::AdaFactorRule;
  bool elementwise() const override { return false; }
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
    const FactorRule rule = factor_rule(r);
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

  /// Sum of squares of the values, where it is asked for.
  template <class T>
  double size(const UpdateRange& r) const {
    if (!o_.scale_parameter) return 0;
    const T* const value = static_cast<const T*>(r.value);
    return total(r.end, [&](int64_t begin, int64_t end) {
      return sum_of_squares(value + begin, end - begin);
    });
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
    const double values = size<T>(r);
    double results[2];
    rate(r)(&values, results);
    clip(r)(&squares, results);
    args.keep = static_cast<T>(decays_itself() ? 1 - results[0] * r.weight_decay : 1);
    args.rate = static_cast<T>(results[1]);
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

  mutable std::vector<double> sums_;   // by piece
  mutable std::vector<double> means_;  // by matrix of a batch
};

}  // namespace
}  // namespace sing::optim
