// Sums of rows of equal index, in the order of the index and by as many blocks as there are pieces
// of 64: neither many different rows nor a single one leaves the device idle.
#include "kernels/cuda/index_sort.h"
#include "kernels/cuda/walk.h"

namespace sing::cuda {
namespace {

constexpr int64_t kPiece = 64;
constexpr int kThreads = 128;
constexpr uint32_t kNone = 0xffffffffu;

template <class T, class G>
inline constexpr int kColumns = std::min(kPack<T>, kPack<G>);

/// What the kernels share. A row that goes over the end of a piece leaves its sum there as a
/// partial one: number 0 of a piece for the row it began with, number 1 for the one it ends with.
template <class T, class G>
struct Problem {
  const RowPlace* list;  ///< sorted
  G* to;
  const T* from;
  int64_t n, rows, to_step, from_step;
  UnitWalk<2> columns;
  uint32_t column_blocks;
  float* partial;

  SING_DEVICE uint32_t row(int64_t i) const { return list[i].row; }
  template <int N>
  SING_DEVICE float* partial_of(int64_t piece, int which, uint32_t unit) const {
    return partial + ((2 * piece + which) * columns.units + unit) * N;
  }
  SING_DEVICE int64_t piece() const { return blockIdx.x / column_blocks; }
  SING_DEVICE uint32_t unit() const { return blockIdx.x % column_blocks * kThreads + threadIdx.x; }
};

template <int N, class G>
SING_DEVICE void add_to(G* to, const float (&sum)[N], uint32_t count) {
  Pack<G, N> pack = load_unit<N>(to, false, count);
#pragma unroll
  for (int k = 0; k < N; ++k) pack.at[k] = from_value<G>(to_value(pack.at[k]) + sum[k]);
  store_unit<N>(to, pack, count);
}

template <class T, class G, int N>
__global__ void __launch_bounds__(kThreads) add_pieces_kernel(Problem<T, G> p) {
  const uint32_t unit = p.unit();
  if (unit >= p.columns.units) return;
  const Offsets<2> at = offsets_of(p.columns, unit);
  const uint32_t count = unit + 1 == p.columns.units ? p.columns.last : N;
  const int64_t piece = p.piece(), begin = piece * kPiece;
  const int64_t end = begin + kPiece < p.n ? begin + kPiece : p.n;
  const uint32_t before = begin > 0 ? p.row(begin - 1) : kNone;
  const uint32_t after = end < p.n ? p.row(end) : kNone;

  float sum[N] = {};
  uint32_t current = kNone;
  bool first = true;  // `current` is the row the piece began with
  const auto finish = [&](bool last) {
    if (current >= p.rows) return;
    const int which = first && current == before ? 0 : last && current == after ? 1 : -1;
    if (which < 0) {
      add_to<N>(p.to + current * p.to_step + at.of[0], sum, count);
      return;
    }
    float* partial = p.template partial_of<N>(piece, which, unit);
#pragma unroll
    for (int k = 0; k < N; ++k) partial[k] = sum[k];
  };
  constexpr int kAhead = 4;  // loads that do not wait for sums
  for (int64_t i = begin; i < end; i += kAhead) {
    uint32_t row[kAhead];
    Pack<T, N> pack[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const RowPlace entry = i + a < end ? p.list[i + a] : RowPlace{kNone, 0};
      row[a] = entry.row;
      pack[a] = Pack<T, N>{};
      if (entry.row < p.rows)
        pack[a] = load_unit<N>(p.from + entry.place * p.from_step + at.of[1],
                               p.columns.strides[1][0] == 0, count);
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (i + a >= end) break;
      if (row[a] != current) {
        finish(false);
        first = i + a == begin;
        current = row[a];
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] = 0;
      }
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += to_value(pack[a].at[k]);
    }
  }
  finish(true);
}

/// The rows that go over pieces: the block of the piece in which one begins adds its parts.
template <class T, class G, int N>
__global__ void __launch_bounds__(kThreads) join_pieces_kernel(Problem<T, G> p) {
  const uint32_t unit = p.unit();
  const int64_t piece = p.piece(), begin = piece * kPiece, end = begin + kPiece;
  if (unit >= p.columns.units || end >= p.n) return;
  const uint32_t row = p.row(end - 1);
  if (row >= p.rows || p.row(end) != row || (begin > 0 && p.row(begin - 1) == row)) return;
  int64_t low = piece + 1, high = (p.n - 1) / kPiece;  // the last piece that begins with `row`
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (p.row(middle * kPiece) == row)
      low = middle;
    else
      high = middle - 1;
  }
  float sum[N];
  const float* own = p.template partial_of<N>(piece, 1, unit);
#pragma unroll
  for (int k = 0; k < N; ++k) sum[k] = own[k];
#pragma unroll 4
  for (int64_t other = piece + 1; other <= low; ++other) {
    const float* part = p.template partial_of<N>(other, 0, unit);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += part[k];
  }
  const Offsets<2> at = offsets_of(p.columns, unit);
  const uint32_t count = unit + 1 == p.columns.units ? p.columns.last : N;
  add_to<N>(p.to + row * p.to_step + at.of[0], sum, count);
}

template <class T, class G>
void add_sorted(const AddRows& args, const RowPlace* list) {
  constexpr int N = kColumns<T, G>;
  G* to = static_cast<G*>(args.to);
  const T* from = static_cast<const T*>(args.from);
  const int64_t pieces = (args.n + kPiece - 1) / kPiece;
  const auto start = [&]<int kUnit>() {
    // Pieces of columns so small that the grid is one a device takes.
    const int64_t limit =
        std::min<int64_t>(INT32_MAX, (int64_t{INT32_MAX} / pieces - 1) * kThreads);
    for_each_piece<2>(
        args.columns, kUnit,
        [&](const UnitWalk<2>& columns, const std::array<int64_t, 2>& offsets) {
          const Workspace partial(
              static_cast<size_t>(2 * pieces * columns.units * kUnit) * sizeof(float), args.stream);
          const uint32_t blocks = (columns.units + kThreads - 1) / kThreads;
          const Problem<T, G> problem{list,      to + offsets[0],    from + offsets[1], args.n,
                                      args.rows, args.to_step,       args.from_step,    columns,
                                      blocks,    partial.as<float>()};
          const Grid grid{dim3(static_cast<unsigned>(pieces * blocks)), dim3(kThreads), 0};
          launch(add_pieces_kernel<T, G, kUnit>, grid, args.stream, problem);
          if (pieces > 1) launch(join_pieces_kernel<T, G, kUnit>, grid, args.stream, problem);
        },
        {}, limit);
  };
  if (args.to_step % N == 0 && args.from_step % N == 0 &&
      walks_in_packs<2>(
          args.columns, N,
          {aligned_for_packs(N * sizeof(G), to), aligned_for_packs(N * sizeof(T), from)}))
    start.template operator()<N>();
  else
    start.template operator()<1>();
}

}  // namespace

void add_rows(const AddRows& args) {
  if (args.n == 0 || args.rows == 0) return;
  if (args.n > INT32_MAX || args.rows > INT32_MAX)
    throw NotImplementedError("adding " + std::to_string(args.n) + " rows to a table of " +
                              std::to_string(args.rows) + ": no CUDA kernel for 2^31 or more");
  const Workspace sorted(sort_bytes(args.n), args.stream);
  const RowPlace* list = sort_by_row(args.index, args.index_step, args.n, args.rows, args.skipped,
                                     sorted.data(), args.stream);
  dispatch_floating("adding rows", args.from_dtype, [&](auto tag) {
    dispatch_floating("adding rows", args.to_dtype, [&](auto to_tag) {
      add_sorted<decltype(tag), decltype(to_tag)>(args, list);
    });
  });
}

}  // namespace sing::cuda
