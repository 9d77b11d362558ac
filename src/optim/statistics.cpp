#include "optim/statistics.h"

#include <algorithm>
#include <cmath>

#include "optim/target.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {
namespace {

constexpr int64_t kPiece = 16384;  // elements: 64 KiB of f32, so that a second look is in cache

// Eight lanes, two accumulators: the sums are the same on every instruction set.
typedef double Lanes __attribute__((vector_size(64)));
template <class T>
struct LanesOf;
template <>
struct LanesOf<float> {
  typedef float type __attribute__((vector_size(32), aligned(4), may_alias));
};
template <>
struct LanesOf<double> {
  typedef double type __attribute__((vector_size(64), aligned(8), may_alias));
};

SING_ALWAYS_INLINE double fold(const Lanes& a, const Lanes& b) {
  double sum[8];
  for (int i = 0; i < 8; ++i) sum[i] = a[i] + b[i];
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/// Sum of (x - about).
template <class T>
SING_ALWAYS_INLINE double sum_about(const T* x, int64_t n, T about) {
  using V = typename LanesOf<T>::type;
  Lanes a{}, b{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    a += __builtin_convertvector(*reinterpret_cast<const V*>(x + i) - about, Lanes);
    b += __builtin_convertvector(*reinterpret_cast<const V*>(x + i + 8) - about, Lanes);
  }
  double tail = 0;
  for (; i < n; ++i) tail += static_cast<double>(x[i] - about);
  return fold(a, b) + tail;
}

/// Sum of ((x - mean) - mean_low)^2.
template <class T>
SING_ALWAYS_INLINE double squares_about(const T* x, int64_t n, T mean, T mean_low) {
  using V = typename LanesOf<T>::type;
  Lanes a{}, b{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const Lanes c =
        __builtin_convertvector((*reinterpret_cast<const V*>(x + i) - mean) - mean_low, Lanes);
    const Lanes d =
        __builtin_convertvector((*reinterpret_cast<const V*>(x + i + 8) - mean) - mean_low, Lanes);
    a += c * c;
    b += d * d;
  }
  double tail = 0;
  for (; i < n; ++i) {
    const double c = static_cast<double>((x[i] - mean) - mean_low);
    tail += c * c;
  }
  return fold(a, b) + tail;
}

template <class T>
struct MeasureBody {
  struct Args {
    const T* gradient;
    int64_t rows, length;
    bool centre;
    RowStatistics* out;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    for (int64_t row = 0; row < a.rows; ++row) {
      const T* const x = a.gradient + row * a.length;
      double mean = 0;
      if (a.centre) {
        const double n = static_cast<double>(a.length);
        mean = sum_about<T>(x, a.length, 0) / n;
        // The sum of f64 values is not wider than they are: one more step makes the mean of a
        // constant row exact.
        if constexpr (sizeof(T) == sizeof(double)) mean += sum_about<T>(x, a.length, mean) / n;
      }
      const T high = static_cast<T>(mean);
      const T low = static_cast<T>(mean - static_cast<double>(high));
      a.out[row] = {mean, squares_about<T>(x, a.length, high, low)};
    }
  }
};

template <class T>
void measure(const void* gradient, int64_t first, int64_t rows, int64_t length, bool centre,
             RowStatistics* out) {
  run_best<MeasureBody<T>>(typename MeasureBody<T>::Args{static_cast<const T*>(gradient) + first,
                                                         rows, length, centre, out});
}

}  // namespace

double row_norm(const TensorStatistics& statistics, size_t row, bool centred) {
  const RowStatistics& r = statistics.rows[row];
  const double n = static_cast<double>(statistics.row_length);
  return std::sqrt(r.sum_of_squares + (centred ? 0 : n * r.mean * r.mean));
}

double norm_under(const Affine& affine, const TensorStatistics& statistics) {
  if (affine.row_scale == nullptr)
    return (affine.centred() ? statistics.centred_norm : statistics.raw_norm) * affine.scale;
  double squares = 0;
  for (size_t row = 0; row < statistics.rows.size(); ++row) {
    const double norm = row_norm(statistics, row, affine.centred()) * affine.row_scale[row];
    squares += norm * norm;
  }
  return std::sqrt(squares) * affine.scale;
}

StatisticsPass::StatisticsPass(const ParamTable& table,
                               std::span<const std::optional<RowRequest>> requests)
    : dtype_(table.dtype()) {
  size_t slots = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    const TensorMeta& meta = table.meta(i);
    Layout layout{};
    layout.by_row = requests[i].has_value();
    layout.centre = layout.by_row && requests[i]->centre;
    layout.rows = layout.by_row && requests[i]->scope == Scope::row ? meta.rows : 1;
    layout.row_length = layout.rows == 0 ? 0 : meta.numel() / layout.rows;
    layout.cuts = std::max<int64_t>(1, (layout.row_length - 1) / kPiece + 1);
    layout.first_slot = slots;
    if (layout.row_length == 0) layout.rows = 0;
    const int64_t at_once =
        layout.cuts > 1 ? 1
                        : std::max<int64_t>(1, kPiece / std::max<int64_t>(1, layout.row_length));
    for (int64_t row = 0; row < layout.rows; row += at_once)
      for (int64_t cut = 0; cut < layout.cuts; ++cut) {
        const int64_t begin = cut * kPiece;
        pieces_.push_back({.tensor = i,
                           .slot = slots + static_cast<size_t>(row * layout.cuts + cut),
                           .first = row * layout.row_length + begin,
                           .rows = std::min(at_once, layout.rows - row),
                           .length = layout.cuts == 1
                                         ? layout.row_length
                                         : std::min(kPiece, layout.row_length - begin)});
      }
    slots += static_cast<size_t>(layout.rows * layout.cuts);
    layouts_.push_back(layout);
  }
  slots_.resize(slots);
  results_.resize(table.size());
}

void StatisticsPass::run(std::span<const void* const> gradients) {
  for (size_t i = 0; i < results_.size(); ++i) results_[i].present = gradients[i] != nullptr;
  parallel_for(static_cast<int64_t>(pieces_.size()), [&](int64_t index) {
    const Piece& piece = pieces_[static_cast<size_t>(index)];
    const void* gradient = gradients[piece.tensor];
    if (gradient == nullptr) return;
    const bool centre = layouts_[piece.tensor].centre;
    RowStatistics* out = slots_.data() + piece.slot;
    if (dtype_ == DType::f64)
      measure<double>(gradient, piece.first, piece.rows, piece.length, centre, out);
    else
      measure<float>(gradient, piece.first, piece.rows, piece.length, centre, out);
  });
  parallel_for(static_cast<int64_t>(results_.size()), [&](int64_t index) {
    if (results_[static_cast<size_t>(index)].present) finish(static_cast<size_t>(index));
  });
}

void StatisticsPass::finish(size_t tensor) {
  const Layout& layout = layouts_[tensor];
  RowStatistics* const rows = slots_.data() + layout.first_slot;
  double squares = 0, raw_squares = 0;
  for (int64_t row = 0; row < layout.rows; ++row) {
    const RowStatistics* const cuts = rows + row * layout.cuts;
    const double n = static_cast<double>(layout.row_length);
    const auto length = [&](int64_t cut) {
      return static_cast<double>(std::min(kPiece, layout.row_length - cut * kPiece));
    };
    // Differences to the first mean, so that equal means give exactly that mean.
    double mean = cuts[0].mean, shift = 0, row_squares = cuts[0].sum_of_squares;
    if (layout.cuts > 1) {
      for (int64_t cut = 1; cut < layout.cuts; ++cut)
        shift += length(cut) * (cuts[cut].mean - cuts[0].mean);
      mean += shift / n;
      row_squares = 0;
      for (int64_t cut = 0; cut < layout.cuts; ++cut) {
        const double d = cuts[cut].mean - mean;
        row_squares += cuts[cut].sum_of_squares + length(cut) * d * d;
      }
    }
    rows[row] = {mean, row_squares};  // row <= row * cuts: what is read later is still there
    squares += row_squares;
    raw_squares += row_squares + n * mean * mean;
  }
  TensorStatistics& result = results_[tensor];
  result.centred_norm = std::sqrt(squares);
  result.raw_norm = layout.centre ? std::sqrt(raw_squares) : result.centred_norm;
  result.row_length = layout.row_length;
  result.rows = layout.by_row
                    ? std::span<const RowStatistics>(rows, static_cast<size_t>(layout.rows))
                    : std::span<const RowStatistics>();
}

}  // namespace sing::optim
