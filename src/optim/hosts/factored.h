#pragma once
// The second moment of AdaFactor: for matrices only its means over rows and over columns are kept
// (Shazeer & Stern 2018, section 3). A tensor of more than two dimensions is a batch of matrices in
// its last two. All of it works on pieces of the gradient that fit the first cache.
#include "optim/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {

inline constexpr int64_t kFactoredPiece = 16384;  // elements of one chunk of work
inline constexpr int64_t kFactoredBite = 1024;    // of g' loaded at once, on the stack

/// Where the elements of a batch of matrices lie: element (i, j) of matrix (o, k) is stored at
/// ((o * rows + i) * cols + j) * lanes + k. Channels-last filters have their channels as lanes.
struct MatrixLayout {
  int64_t outer = 1, rows = 1, cols = 1, lanes = 1;
  explicit MatrixLayout(const TensorMeta& meta) {
    const int rank = meta.rank();
    rows = meta.shape[rank - 2];
    cols = meta.shape[rank - 1];
    lanes = meta.channels_last ? meta.shape[1] : 1;
    outer = meta.shape.numel_between(0, rank - 2) / lanes;
  }
  int64_t matrices() const { return outer * lanes; }
  int64_t line() const { return cols * lanes; }  ///< stored elements of one row of `lanes` matrices
};

/// row <- keep row + (1 - keep) (mean of g^2 + eps), with matrix (o, k) at place o * lanes + k.
struct FactorRule {
  double keep, eps;
  template <class T>
  SING_ALWAYS_INLINE void store(T& at, double squares, int64_t n) const {
    const double mean = squares / static_cast<double>(n) + eps;
    at = static_cast<T>(keep * static_cast<double>(at) + (1 - keep) * mean);
  }
};

#if !defined(SING_OPTIM_DEVICE)
/// g' of elements [begin, begin + n), from inside a body of run_best.
template <class T>
SING_ALWAYS_INLINE void load_piece(const UpdateRange& r, int64_t begin, int64_t n, T* out) {
  UpdateRange piece = r;
  piece.begin = begin;
  piece.end = begin + n;
  LoadBody<T>::run(typename LoadBody<T>::Args{piece, out});
}

template <class T>
SING_ALWAYS_INLINE void add_squares(const T* x, int64_t n, double* sums) {
  for (int64_t e = 0; e < n; ++e) sums[e] += static_cast<double>(x[e]) * static_cast<double>(x[e]);
}

template <class T>
SING_ALWAYS_INLINE double sum_of_squares(const T* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  if (n < kLanes) {  // rows of small filters
    double total = 0;
    for (int64_t e = 0; e < n; ++e) total += static_cast<double>(x[e]) * static_cast<double>(x[e]);
    return total;
  }
  double sums[kLanes] = {};
  int64_t e = 0;
  for (; e + kLanes <= n; e += kLanes) add_squares(x + e, kLanes, sums);
  add_squares(x + e, n - e, sums);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

/// Means over the columns, of stored rows [first, last).
template <class T>
struct RowMeansBody {
  struct Args {
    const UpdateRange& r;
    const MatrixLayout& layout;
    const FactorRule& rule;
    T* row;
    int64_t first, last;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const MatrixLayout& l = a.layout;
    T g[kFactoredBite];
    if (l.lanes > 1) {
      double sums[kFactoredBite];
      for (int64_t line = a.first; line < a.last; ++line)
        for (int64_t k = 0; k < l.lanes; k += kFactoredBite) {
          const int64_t n = std::min(kFactoredBite, l.lanes - k);
          std::fill(sums, sums + n, 0);
          for (int64_t j = 0; j < l.cols; ++j) {
            load_piece(a.r, (line * l.cols + j) * l.lanes + k, n, g);
            add_squares(g, n, sums);
          }
          const int64_t matrix = line / l.rows * l.lanes + k;
          for (int64_t e = 0; e < n; ++e)
            a.rule.store(a.row[(matrix + e) * l.rows + line % l.rows], sums[e], l.cols);
        }
      return;
    }
    int64_t line = a.first, j = 0;
    double sum = 0;
    for (int64_t begin = a.first * l.cols; begin < a.last * l.cols; begin += kFactoredBite) {
      const int64_t n = std::min(kFactoredBite, a.last * l.cols - begin);
      load_piece(a.r, begin, n, g);
      for (int64_t at = 0; at < n;) {
        const int64_t run = std::min(l.cols - j, n - at);
        sum += sum_of_squares(g + at, run);
        at += run;
        j += run;
        if (j < l.cols) break;
        a.rule.store(a.row[line++], sum, l.cols);
        sum = 0;
        j = 0;
      }
    }
  }
};

/// Means over the rows, of stored columns [first, last) of the matrices of outer indexes
/// [begin, end); at most kFactoredBite columns.
template <class T>
struct ColumnMeansBody {
  struct Args {
    const UpdateRange& r;
    const MatrixLayout& layout;
    const FactorRule& rule;
    T* col;
    int64_t begin, end, first, last;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const MatrixLayout& l = a.layout;
    const int64_t n = a.last - a.first, size = l.rows * l.line();
    T g[kFactoredBite];
    if (n == l.line() && size <= kFactoredBite) {  // several at once
      const int64_t at_once = kFactoredBite / size;
      for (int64_t o = a.begin; o < a.end; o += at_once) {
        const int64_t count = std::min(at_once, a.end - o);
        load_piece(a.r, o * size, count * size, g);
        for (int64_t m = 0; m < count; ++m) finish(a, o + m, g + m * size, n, l.rows);
      }
      return;
    }
    for (int64_t o = a.begin; o < a.end; ++o) {
      double sums[kFactoredBite];
      std::fill(sums, sums + n, 0);
      for (int64_t i = 0; i < l.rows; ++i) {
        load_piece(a.r, (o * l.rows + i) * l.line() + a.first, n, g);
        add_squares(g, n, sums);
      }
      store(a, o, sums, n);
    }
  }
  SING_ALWAYS_INLINE static void finish(const Args& a, int64_t o, const T* g, int64_t n,
                                        int64_t rows) {
    double sums[kFactoredBite];
    std::fill(sums, sums + n, 0);
    for (int64_t row = 0; row < rows; ++row) add_squares(g + row * n, n, sums);
    store(a, o, sums, n);
  }
  SING_ALWAYS_INLINE static void store(const Args& a, int64_t o, const double* sums, int64_t n) {
    const MatrixLayout& l = a.layout;
    int64_t j = a.first / l.lanes, k = a.first % l.lanes;
    for (int64_t e = 0; e < n; ++e) {
      a.rule.store(a.col[(o * l.lanes + k) * l.cols + j], sums[e], l.rows);
      if (++k == l.lanes) {
        k = 0;
        ++j;
      }
    }
  }
};

/// New means of all rows and columns of a tensor, and the mean of the row means of each matrix
/// (`means`; not needed, nor written, where matrices have one row).
template <class T>
void update_factors(const UpdateRange& r, const MatrixLayout& l, const FactorRule& rule, T* row,
                    T* col, double* means) {
  const int64_t lines = l.outer * l.rows;
  parallel_ranges(lines, std::max<int64_t>(1, kFactoredPiece / l.line()),
                  [&](int64_t first, int64_t last) {
                    using Body = RowMeansBody<T>;
                    run_best<Body>(typename Body::Args{r, l, rule, row, first, last});
                  });
  // Large matrices are cut into strips of columns, small ones are taken by the dozen.
  const bool large = l.rows * l.line() > kFactoredPiece;
  const int64_t strip = large ? 128 : std::min(l.line(), kFactoredBite);
  const int64_t strips = (l.line() - 1) / strip + 1;
  const int64_t group = large ? 1 : std::max<int64_t>(1, kFactoredPiece / (l.rows * strip));
  const int64_t groups = (l.outer - 1) / group + 1;
  parallel_for(groups * strips, [&](int64_t index) {
    using Body = ColumnMeansBody<T>;
    const int64_t first = index % strips * strip, begin = index / strips * group;
    run_best<Body>(typename Body::Args{r, l, rule, col, begin, std::min(begin + group, l.outer),
                                       first, std::min(first + strip, l.line())});
  });
  if (l.rows == 1) return;
  parallel_ranges(l.matrices(), std::max<int64_t>(1, kFactoredPiece / l.rows),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t m = begin; m < end; ++m) {
                      double sum = 0;
                      for (int64_t i = 0; i < l.rows; ++i)
                        sum += static_cast<double>(row[m * l.rows + i]);
                      means[m] = sum / static_cast<double>(l.rows);
                    }
                  });
}

/// Roots of the estimated second moment of elements [begin, begin + n).
template <class T>
struct FactoredRoots {
  MatrixLayout layout;
  const T* row;
  const T* col;
  const double* means;

  SING_ALWAYS_INLINE void operator()(int64_t begin, int64_t n, T* out) const {
    const MatrixLayout& l = layout;
    // Counted on rather than divided: rows of filters have three elements.
    int64_t k = begin % l.lanes, j = begin / l.lanes % l.cols;
    int64_t i = begin / l.line() % l.rows, matrix = begin / l.line() / l.rows * l.lanes;
    for (int64_t at = 0; at < n;) {
      int64_t run;
      if (l.lanes == 1) {
        run = std::min(l.cols - j, n - at);
        const T factor = row_root(matrix, i);
        const T* const columns = col + matrix * l.cols + j;
        for (int64_t e = 0; e < run; ++e) out[at + e] = factor * std::sqrt(columns[e]);
        j += run;
      } else {
        run = std::min(l.lanes - k, n - at);
        for (int64_t e = 0; e < run; ++e)
          out[at + e] = row_root(matrix + k + e, i) * std::sqrt(col[(matrix + k + e) * l.cols + j]);
        k += run;
        if (k == l.lanes) {
          k = 0;
          ++j;
        }
      }
      at += run;
      if (j < l.cols) continue;
      j = 0;
      if (++i < l.rows) continue;
      i = 0;
      matrix += l.lanes;
    }
  }
  SING_ALWAYS_INLINE T row_root(int64_t matrix, int64_t i) const {
    if (layout.rows == 1) return 1;
    const T mean = static_cast<T>(means[matrix]);
    return mean > 0 ? std::sqrt(row[matrix * layout.rows + i] / mean) : 0;
  }
};

#endif

}  // namespace sing::optim
