// Sums, norms, extrema and truth values over any dimensions of any layout.
#include "kernels/reduce.h"

#include "kernels/cuda/columns.h"

namespace sing::cuda {
namespace {

using kernels::ReduceOp;
using Dims = std::array<int64_t, kMaxRank>;

/// Offsets of elements in row-major order of some dimensions.
struct Places {
  int rank;
  int64_t dims[kMaxRank], strides[kMaxRank];

  SING_DEVICE int64_t operator()(int64_t i) const {
    int64_t offset = 0;
    for (int d = rank - 1; d > 0; --d) {
      const int64_t rest = quotient(i, dims[d]);
      offset += (i - rest * dims[d]) * strides[d];
      i = rest;
    }
    return rank > 0 ? offset + i * strides[0] : offset;
  }
};

Places places_of(int rank, const Dims& dims, const Dims& strides) {
  Places p{rank, {}, {}};
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d) {
    p.dims[d] = dims[d];
    p.strides[d] = strides[d];
  }
  return p;
}
int64_t count_of(const Places& p) {
  int64_t n = 1;
  for (int d = 0; d < p.rank; ++d) n *= p.dims[d];
  return n;
}
bool dense_inside(const Places& p) {
  return p.rank > 0 && p.strides[p.rank - 1] == 1;
}
/// Whether all strides but the innermost (or all) are multiples of n.
bool multiples(const Places& p, int64_t n, bool all) {
  for (int d = 0; d < p.rank - (all ? 0 : 1); ++d)
    if (p.strides[d] % n != 0) return false;
  return true;
}
/// The same elements, n neighbours at a time.
Places in_packs(Places p, int64_t n) {
  p.dims[p.rank - 1] /= n;
  p.strides[p.rank - 1] *= n;
  return p;
}

/// What becomes of a sum.
struct SumOutput {
  void* out;
  DType dtype;
  bool root, accumulate;
  double scale;
  SING_DEVICE void operator()(int64_t k, const double* sum) const {
    store_number(out, dtype, k, root ? std::sqrt(*sum) : *sum * scale, accumulate);
  }
};

template <class T>
struct SumJob {
  const T* x;
  Places kept, reduced;  // one of them by packs
  int64_t kept_count, reduced_count, tail;
  int64_t chunk, chunks, across;
  bool square;
  double* partial;  // [chunks, kept], or nullptr when there is one chunk
  SumOutput output;

  SING_DEVICE void put(int64_t at_chunk, int64_t k, double sum) const {
    if (partial == nullptr)
      output(k, &sum);
    else
      partial[at_chunk * kept_count + k] = sum;
  }
};

/// A warp or a block per kept element. Threads sum a pack in f32 and go on in f64.
template <class T, int N, bool kBlock>
__global__ void __launch_bounds__(kColumnThreads, 2) sum_rows_kernel(SumJob<T> job) {
  using V = compute_t<T>;
  constexpr int kGroup = kBlock ? kColumnThreads : kWarp;
  constexpr int kGroups = kColumnThreads / kGroup;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / kGroup;
  const int own = static_cast<int>(threadIdx.x) % kGroup;
  const int64_t k = quotient(group, job.chunks), chunk = group - k * job.chunks;
  double sum = 0;
  if (k < job.kept_count) {
    const T* x = job.x + job.kept(k);
    const int64_t begin = chunk * job.chunk, past = begin + job.chunk;
    const int64_t end = past < job.reduced_count ? past : job.reduced_count;
    for (int64_t p = begin + own; p < end; p += kColumnUnroll * kGroup) {
      Pack<T, N> packs[kColumnUnroll] = {};
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u)
        if (p + u * kGroup < end)
          packs[u] = *reinterpret_cast<const Pack<T, N>*>(x + job.reduced(p + u * kGroup));
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u) {
        V part = 0;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const V v = to_value(packs[u].at[i]);
          part += job.square ? v * v : v;
        }
        sum += static_cast<double>(part);
      }
    }
    // The rest of a row that is not whole packs; it has one dimension then.
    if (chunk == job.chunks - 1 && own < job.tail) {
      const double v = static_cast<double>(to_value(x[job.reduced_count * N + own]));
      sum += job.square ? v * v : v;
    }
  }
  sum = kBlock ? block_reduce(sum, 0.0) : warp_reduce(sum);
  if (own == 0 && k < job.kept_count) job.put(chunk, k, sum);
}

/// N neighbouring kept elements per thread; threads behind each other share what is reduced.
template <class T, int N>
__global__ void __launch_bounds__(kColumnThreads, 2) sum_columns_kernel(SumJob<T> job) {
  using V = compute_t<T>;
  const ColumnPlace place(job.reduced_count, job.chunk, job.across);
  const bool active = place.pack * N < job.kept_count;
  const T* x = job.x + (active ? job.kept(place.pack) : 0);
  double sums[1][N] = {};
  if (active)
    for (int64_t row = place.row; row < place.end; row += kColumnUnroll * place.step) {
      Pack<T, N> packs[kColumnUnroll] = {};
#pragma unroll
      for (int u = 0; u < kColumnUnroll; ++u)
        if (row + u * place.step < place.end)
          packs[u] = *reinterpret_cast<const Pack<T, N>*>(x + job.reduced(row + u * place.step));
#pragma unroll
      for (int i = 0; i < N; ++i) {
        V part = 0;
#pragma unroll
        for (int u = 0; u < kColumnUnroll; ++u) {
          const V v = to_value(packs[u].at[i]);
          part += job.square ? v * v : v;
        }
        sums[0][i] += static_cast<double>(part);
      }
    }
  const int64_t first = (place.pack - threadIdx.x) * N;
  add_columns(sums, [&](int column, const double* sum) {
    if (first + column < job.kept_count) job.put(place.chunk, first + column, *sum);
  });
}

constexpr int64_t kManyBlocks = 528;  // four for each of 132 multiprocessors

template <class T, int N>
void run_columns(SumJob<T> job, Stream stream) {
  const ColumnPlan plan = column_plan(job.reduced_count, (job.kept_count + N - 1) / N);
  job.chunk = plan.rows_per_block;
  job.chunks = plan.chunks;
  job.across = plan.across;
  if (plan.chunks == 1) return launch(sum_columns_kernel<T, N>, plan.grid(), stream, job);
  const Workspace partial(static_cast<size_t>(plan.chunks * job.kept_count) * sizeof(double),
                          stream);
  job.partial = partial.as<double>();
  launch(sum_columns_kernel<T, N>, plan.grid(), stream, job);
  finish_columns<1>(job.partial, plan.chunks, job.kept_count, job.output, stream);
}

template <class T, int N>
void run_rows(SumJob<T> job, Stream stream) {
  const int64_t packs = job.reduced_count;
  if (packs <= kColumnThreads) {
    job.chunk = packs;
    job.chunks = 1;
    return launch(sum_rows_kernel<T, N, false>,
                  grid_for(job.kept_count * kWarp, kColumnThreads, INT32_MAX), stream, job);
  }
  // Few long rows are cut, so that the device is busy; a thread takes at least two rounds.
  const int64_t least = 2 * kColumnUnroll * kColumnThreads;
  const int64_t wanted = (kManyBlocks + job.kept_count - 1) / job.kept_count;
  job.chunks = std::clamp<int64_t>(packs / least, 1, wanted);
  job.chunk = (packs + job.chunks - 1) / job.chunks;
  const Grid grid{dim3(static_cast<unsigned>(job.kept_count * job.chunks)), dim3(kColumnThreads),
                  0};
  if (job.chunks == 1) return launch(sum_rows_kernel<T, N, true>, grid, stream, job);
  const Workspace partial(static_cast<size_t>(job.chunks * job.kept_count) * sizeof(double),
                          stream);
  job.partial = partial.as<double>();
  launch(sum_rows_kernel<T, N, true>, grid, stream, job);
  finish_columns<1>(job.partial, job.chunks, job.kept_count, job.output, stream);
}

template <class T>
void sum_of(const kernels::ReduceArgs& args, const Places& kept, const Places& reduced) {
  constexpr int N = kPack<T>;
  SumJob<T> job{};
  job.x = static_cast<const T*>(args.x);
  job.kept = kept;
  job.reduced = reduced;
  job.kept_count = count_of(kept);
  job.reduced_count = count_of(reduced);
  const bool root = args.op == ReduceOp::norm;
  job.square = root;
  job.output = {args.out, args.out_dtype, root, args.accumulate, args.scale};
  const bool aligned = aligned_for_packs(16, args.x);
  // Lanes along what lies together; rows of a few elements leave most of a warp idle.
  const bool columns = job.reduced_count < 16 || (dense_inside(kept) && !dense_inside(reduced)) ||
                       (!dense_inside(reduced) && job.reduced_count < kWarp);
  if (columns) {
    if (aligned && dense_inside(kept) && kept.dims[kept.rank - 1] % N == 0 &&
        multiples(kept, N, false) && multiples(reduced, N, true)) {
      job.kept = in_packs(kept, N);
      return run_columns<T, N>(job, args.stream);
    }
    return run_columns<T, 1>(job, args.stream);
  }
  if (aligned && dense_inside(reduced) && multiples(reduced, N, false) &&
      multiples(kept, N, true) && (reduced.rank == 1 || reduced.dims[reduced.rank - 1] % N == 0)) {
    job.reduced = in_packs(reduced, N);
    job.tail = job.reduced_count % N;
    job.reduced_count /= N;
    return run_rows<T, N>(job, args.stream);
  }
  run_rows<T, 1>(job, args.stream);
}

// --- extrema and truth -------------------------------------------------------------------------

/// Element i as a V: float for the narrow floating dtypes, double for f64, int64_t for the others.
template <class V>
SING_DEVICE V load(const void* x, DType dtype, int64_t i) {
  if constexpr (std::is_same_v<V, double>) {
    return static_cast<const double*>(x)[i];
  } else if constexpr (std::is_same_v<V, float>) {
    if (dtype == DType::f32) return static_cast<const float*>(x)[i];
    if (dtype == DType::bf16) return to_value(static_cast<const bfloat16*>(x)[i]);
    return to_value(static_cast<const float16*>(x)[i]);
  } else {
    if (dtype == DType::i64) return static_cast<const int64_t*>(x)[i];
    if (dtype == DType::i32) return static_cast<const int32_t*>(x)[i];
    return static_cast<const uint8_t*>(x)[i];  // u8, boolean
  }
}
SING_DEVICE void copy_element(void* to, int64_t at, const void* from, int64_t source, size_t size) {
  if (size == 8)
    static_cast<uint64_t*>(to)[at] = static_cast<const uint64_t*>(from)[source];
  else if (size == 4)
    static_cast<uint32_t*>(to)[at] = static_cast<const uint32_t*>(from)[source];
  else if (size == 2)
    static_cast<uint16_t*>(to)[at] = static_cast<const uint16_t*>(from)[source];
  else
    static_cast<uint8_t*>(to)[at] = static_cast<const uint8_t*>(from)[source];
}

/// The best value so far and its number; -1: none yet. In an order without ties: NaN before
/// numbers, better before worse, first before later.
template <class V>
struct Best {
  V value;
  int64_t at;

  SING_DEVICE void offer(V v, int64_t number, bool largest) {
    if (number < 0) return;
    const bool nan = v != v, own_nan = value != value;
    const bool better = largest ? v > value : v < value;
    const bool equal = (nan && own_nan) || v == value;
    if (at < 0 || better || (nan && !own_nan) || (equal && number < at)) {
      value = v;
      at = number;
    }
  }
};

struct ChoiceJob {
  const void* x;
  DType dtype;
  size_t size;
  Places kept, reduced;
  int64_t kept_count, reduced_count;
  bool largest, truth;
  void* out;
  int64_t* positions;
};

/// kGroup threads per kept element: 1, a warp, or a block.
template <class V, int kGroup>
__global__ void __launch_bounds__(kColumnThreads, 2) choose_kernel(ChoiceJob job) {
  constexpr int kGroups = kColumnThreads / kGroup;
  const int64_t k = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / kGroup;
  const int own = static_cast<int>(threadIdx.x) % kGroup;
  const int64_t base = k < job.kept_count ? job.kept(k) : 0;
  Best<V> best{V{}, -1};
  if (k < job.kept_count)
    for (int64_t i = own; i < job.reduced_count; i += kGroup) {
      V v = load<V>(job.x, job.dtype, base + job.reduced(i));
      if (job.truth) v = v != V{};
      best.offer(v, i, job.largest);
    }
  if constexpr (kGroup > 1) {
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const V v = __shfl_xor_sync(0xffffffffu, best.value, offset);
      best.offer(v, __shfl_xor_sync(0xffffffffu, best.at, offset), job.largest);
    }
  }
  if constexpr (kGroup > kWarp) {
    __shared__ Best<V> of_warp[kGroup / kWarp];
    if (own % kWarp == 0) of_warp[own / kWarp] = best;
    __syncthreads();
    if (own == 0)
      for (int w = 1; w < kGroup / kWarp; ++w)
        best.offer(of_warp[w].value, of_warp[w].at, job.largest);
  }
  if (own != 0 || k >= job.kept_count) return;
  if (job.truth) {
    // Of nothing: any is false, all is true.
    static_cast<bool*>(job.out)[k] = best.at < 0 ? !job.largest : best.value != V{};
    return;
  }
  if (job.out != nullptr) copy_element(job.out, k, job.x, base + job.reduced(best.at), job.size);
  if (job.positions != nullptr) job.positions[k] = best.at;
}

template <class V>
void choose(const ChoiceJob& job, Stream stream) {
  const int64_t kept = job.kept_count;
  if (job.reduced_count >= 2048)
    launch(choose_kernel<V, kColumnThreads>,
           grid_for(kept * kColumnThreads, kColumnThreads, INT32_MAX), stream, job);
  else if (job.reduced_count <= 8 || (dense_inside(job.kept) && kept >= 4096))
    launch(choose_kernel<V, 1>, grid_for(kept, kColumnThreads, INT32_MAX), stream, job);
  else
    launch(choose_kernel<V, kWarp>, grid_for(kept * kWarp, kColumnThreads, INT32_MAX), stream, job);
}

void reduce(const kernels::ReduceArgs& args) {
  const Places kept = places_of(args.kept_rank, args.kept_dims, args.kept_strides);
  const Places reduced = places_of(args.reduced_rank, args.reduced_dims, args.reduced_strides);
  if (count_of(kept) == 0) return;
  if (args.op == ReduceOp::sum || args.op == ReduceOp::norm)
    return dispatch_floating<true>("reduce", args.dtype,
                                   [&](auto tag) { sum_of<decltype(tag)>(args, kept, reduced); });
  const ChoiceJob job{args.x,
                      args.dtype,
                      size_of(args.dtype),
                      kept,
                      reduced,
                      count_of(kept),
                      count_of(reduced),
                      args.op == ReduceOp::max || args.op == ReduceOp::any,
                      args.op == ReduceOp::any || args.op == ReduceOp::all,
                      args.out,
                      args.positions};
  if (args.dtype == DType::f64)
    choose<double>(job, args.stream);
  else if (is_floating(args.dtype))
    choose<float>(job, args.stream);
  else
    choose<int64_t>(job, args.stream);
}

__global__ void __launch_bounds__(kBlockThreads)
    select_backward_kernel(void* dx, const void* grad, const int64_t* positions, size_t size,
                           Places kept, Places reduced, int64_t n) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < n) copy_element(dx, kept(k) + reduced(positions[k]), grad, k, size);
}

void select_backward(const kernels::ReduceSelectBackwardArgs& args) {
  const Places kept = places_of(args.kept_rank, args.kept_dims, args.kept_strides);
  const int64_t n = count_of(kept);
  if (n == 0) return;
  launch(select_backward_kernel, grid_for(n, kBlockThreads, INT32_MAX), args.stream, args.dx,
         args.grad, args.positions, size_of(args.dtype), kept,
         places_of(args.reduced_rank, args.reduced_dims, args.reduced_strides), n);
}

SING_CUDA_KERNEL(kernels::reduce, reduce)
SING_CUDA_KERNEL(kernels::reduce_select_bwd, select_backward)

}  // namespace
}  // namespace sing::cuda
