#pragma once
// The multi-tensor update on the device. A rule (the functor of a host, see optim/elementwise.h)
// lies in the record of each tensor; the map of the transforms is applied as the gradient is read,
// and what follows the update while the new value is in a register.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/optim.h"
#include "kernels/cuda/reduce.h"

namespace sing::cuda {

/// scale = a * b with both factors in the normal range of T.
template <class T>
SING_HOST_DEVICE void split_scale(double scale, T& a, T& b) {
  a = static_cast<T>(scale);
  b = 1;
  if constexpr (sizeof(T) < sizeof(double)) {
    const double size = fabs(scale);
    if (size > 0x1p+100 && size < 1e300) {
      b = static_cast<T>(0x1p+64);
      a = static_cast<T>(scale * 0x1p-64);
    } else if (size < 0x1p-100) {
      b = static_cast<T>(0x1p-64);
      a = static_cast<T>(scale * 0x1p+64);
    }
  }
}

/// The map and the numbers of one chunk.
template <class T>
struct ChunkMap {
  const RowNumbers* rows;
  const double* row_scale;
  double tensor_scale = 1;
  int64_t row_length, first_row, first_offset;
  T scale = 1, scale_high = 1, lift = 1, coupled, keep;

  SING_DEVICE ChunkMap(const UpdateRecord& r, const Chunk& chunk)
      : rows(r.rows),
        row_scale(r.row_scale),
        row_length(r.row_length),
        first_row(chunk.first_row),
        first_offset(chunk.first_offset),
        coupled(static_cast<T>(r.coupled)),
        keep(static_cast<T>(1 - r.decay)) {
    if (r.map != nullptr) {
      if (r.written == 0) tensor_scale = r.map->scale;
      lift = static_cast<T>(r.map->first_moment);
    }
    split_scale(tensor_scale, scale, scale_high);
  }
  SING_DEVICE bool by_row() const { return rows != nullptr || row_scale != nullptr; }
};

/// Walks over elements of a chunk one by one and knows the row of each.
template <class T>
struct RowCursor {
  const ChunkMap<T>& map;
  T mean = 0, mean_low = 0, scale, scale_high;
  int64_t row = 0, left = 1;

  SING_DEVICE RowCursor(const ChunkMap<T>& m, int offset)
      : map(m), scale(m.scale), scale_high(m.scale_high) {
    if (!m.by_row()) return;
    const int64_t local = m.first_offset + offset;
    // Rows longer than a chunk: the chunk touches two of them at most.
    const int64_t passed = m.row_length > kChunkElements
                               ? static_cast<int64_t>(local >= m.row_length)
                               : static_cast<int64_t>(static_cast<uint32_t>(local) /
                                                      static_cast<uint32_t>(m.row_length));
    row = m.first_row + passed;
    left = m.row_length - (local - passed * m.row_length);
    load();
  }
  SING_DEVICE void load() {
    if (map.rows != nullptr) {
      const double wide = map.rows[row].mean;
      mean = static_cast<T>(wide);
      mean_low = static_cast<T>(wide - static_cast<double>(mean));
    }
    if (map.row_scale != nullptr)
      split_scale(map.row_scale[row] * map.tensor_scale, scale, scale_high);
  }
  /// g' of the element at hand; goes on to the next one.
  SING_DEVICE T next(T gradient) {
    if (map.by_row()) {
      if (left == 0) {
        ++row;
        left = map.row_length;
        load();
      }
      --left;
    }
    return ((gradient - mean) - mean_low) * scale * scale_high;
  }
};

template <class T, int N>
SING_DEVICE Pack<T, N> load_pack(const void* from, int64_t at) {
  return *reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(from) + at);
}
template <class T, int N>
SING_DEVICE void store_pack(void* to, int64_t at, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(static_cast<T*>(to) + at) = pack;
}

/// LookAhead, averages and the working copy, of N new values.
template <class T, int N>
SING_DEVICE void after_update(const PostNumbers& post, const UpdateRecord& r, int64_t at,
                              Pack<T, N>& theta) {
  if (post.synchronise != 0) {
    const T alpha = static_cast<T>(post.alpha);
    Pack<T, N> slow = load_pack<T, N>(r.slow, at);
#pragma unroll
    for (int k = 0; k < N; ++k)
      theta.at[k] = slow.at[k] = slow.at[k] + alpha * (theta.at[k] - slow.at[k]);
    store_pack(r.slow, at, slow);
  }
  if (post.average != 0) {
    const T weight = static_cast<T>(post.weight), keep = 1 - weight;
    Pack<T, N> average = load_pack<T, N>(r.average, at);
#pragma unroll
    for (int k = 0; k < N; ++k) average.at[k] = keep * average.at[k] + weight * theta.at[k];
    store_pack(r.average, at, average);
  }
  if (r.working != nullptr) {
    Pack<bfloat16, N> narrow;
#pragma unroll
    for (int k = 0; k < N; ++k) narrow.at[k] = from_value<bfloat16>(theta.at[k]);
    store_pack(r.working, at, narrow);
  }
}

template <class Rule, int N>
SING_DEVICE void update_pack(const UpdateLaunch& a, const UpdateRecord& r, const Rule& rule,
                             const ChunkMap<typename Rule::Element>& map, int64_t begin,
                             int offset) {
  using T = typename Rule::Element;
  constexpr bool kTwoGradients = std::is_invocable_v<const Rule&, T, T, T, T*>;
  const int64_t at = begin + offset;
  Pack<T, N> theta = load_pack<T, N>(r.value, at);
  const Pack<T, N> gradient = load_pack<T, N>(r.gradient, at);
  Pack<T, N> slots[kRecordSlots];
#pragma unroll
  for (int s = 0; s < Rule::kSlots; ++s) slots[s] = load_pack<T, N>(r.slots[s], at);
  RowCursor<T> cursor(map, offset);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    T x = theta.at[k];
    T g = cursor.next(gradient.at[k]);
    T first = g * map.lift;
    if (map.coupled != 0) {
      first += map.coupled * x;
      g += map.coupled * x;
    }
    T state[kRecordSlots] = {};
#pragma unroll
    for (int s = 0; s < Rule::kSlots; ++s) state[s] = slots[s].at[k];
    if constexpr (kTwoGradients)
      x = rule(x * map.keep, g, first, state);
    else
      x = rule(x * map.keep, first, state);
    theta.at[k] = x;
#pragma unroll
    for (int s = 0; s < Rule::kSlots; ++s) slots[s].at[k] = state[s];
  }
#pragma unroll
  for (int s = 0; s < Rule::kSlots; ++s) store_pack(r.slots[s], at, slots[s]);
  if (a.post != nullptr) after_update(*a.post, r, at, theta);
  store_pack(r.value, at, theta);
}

/// A functor of a record, with the results of earlier passes where it takes them.
template <class Rule>
SING_DEVICE Rule rule_of(const UpdateLaunch& a, const Chunk& chunk, const unsigned char* functor) {
  Rule rule = *reinterpret_cast<const Rule*>(functor);
  if constexpr (requires { rule.take(a.results); })
    rule.take(a.results + static_cast<int64_t>(chunk.record) * kChunkSums);
  return rule;
}

template <class Rule>
__global__ void __launch_bounds__(kOptimThreads, kOptimBlocks) update_kernel(const UpdateLaunch a) {
  using T = typename Rule::Element;
  if (a.report != nullptr && a.report->nonfinite != 0) return;
  for (int64_t c = blockIdx.x; c < a.count; c += gridDim.x) {
    const Chunk chunk = a.chunks[c];
    const UpdateRecord& r = a.records[chunk.record];
    if (r.rule != a.rule) continue;
    const Rule rule = rule_of<Rule>(a, chunk, r.functor);
    const ChunkMap<T> map(r, chunk);
    int done = 0;
    if (r.aligned != 0) {
      constexpr int N = kPack<T>;
      done = chunk.count / N * N;
      for (int i = static_cast<int>(threadIdx.x) * N; i < done; i += kOptimThreads * N)
        update_pack<Rule, N>(a, r, rule, map, chunk.begin, i);
    }
    for (int i = done + static_cast<int>(threadIdx.x); i < chunk.count; i += kOptimThreads)
      update_pack<Rule, 1>(a, r, rule, map, chunk.begin, i);
  }
}

template <class Rule, int N>
SING_DEVICE void sums_pack(const UpdateRecord& r, const Rule& rule,
                           const ChunkMap<typename Rule::Element>& map, int64_t begin, int offset,
                           double* sums) {
  using T = typename Rule::Element;
  const int64_t at = begin + offset;
  const Pack<T, N> theta = load_pack<T, N>(r.value, at);
  const Pack<T, N> gradient = load_pack<T, N>(r.gradient, at);
  Pack<T, N> slots[kRecordSlots];
#pragma unroll
  for (int s = 0; s < Rule::kSlots; ++s) slots[s] = load_pack<T, N>(r.slots[s], at);
  RowCursor<T> cursor(map, offset);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const T x = theta.at[k];
    T g = cursor.next(gradient.at[k]);
    T first = g * map.lift;
    if (map.coupled != 0) {
      first += map.coupled * x;
      g += map.coupled * x;
    }
    T state[kRecordSlots] = {};
#pragma unroll
    for (int s = 0; s < Rule::kSlots; ++s) state[s] = slots[s].at[k];
    double out[Rule::kSums];
    if constexpr (requires { rule.terms(x, g, first, state, out, at); })
      rule.terms(x, g, first, state, out, at + k);
    else
      rule.terms(x, g, first, state, out);
#pragma unroll
    for (int s = 0; s < Rule::kSlots; ++s) slots[s].at[k] = state[s];
#pragma unroll
    for (int s = 0; s < Rule::kSums; ++s) sums[s] += out[s];
  }
#pragma unroll
  for (int s = 0; s < Rule::kSlots; ++s) store_pack(r.slots[s], at, slots[s]);
}

/// What a measuring pass has of a tensor: what is summed, and what is made of the sums.
template <class Terms, class End>
struct Measuring {
  static constexpr bool kAllTensors = requires { End::kAllTensors; };
  Terms terms;
  End end;
};

/// Called by a block behind the sums of each chunk: whoever comes last, of a tensor or of all, adds
/// them up. So no launch stands between two passes. The order of sums does not depend on who that
/// is.
template <class Rule>
SING_DEVICE void end_sums(const UpdateLaunch& a, int32_t record) {
  constexpr int kSums = decltype(Rule::terms)::kSums;
  __shared__ int last;
  const ChunkSpan span = Rule::kAllTensors ? ChunkSpan{0, a.count} : a.spans[record];
  unsigned* const ticket = a.tickets + (Rule::kAllTensors ? a.record_count : record);
  if (threadIdx.x == 0) {
    __threadfence();  // the sums of this block first
    last = static_cast<int64_t>(atomicAdd(ticket, 1u)) + 1 == span.count;
  }
  __syncthreads();
  const bool ends = last != 0;
  __syncthreads();  // all have read it before it may change
  if (!ends) return;
  double totals[kSums] = {};
  // From L2: lines around them may be in L1 as they were.
#pragma unroll 4
  for (int64_t c = threadIdx.x; c < span.count; c += kOptimThreads)
#pragma unroll
    for (int s = 0; s < kSums; ++s) totals[s] += __ldcg(a.sums + (span.first + c) * kChunkSums + s);
#pragma unroll
  for (int s = 0; s < kSums; ++s) totals[s] = block_reduce(totals[s], 0.0);
  if (threadIdx.x == 0) *ticket = 0;
  const int step = Rule::kAllTensors ? kOptimThreads : a.record_count;
  for (int k = Rule::kAllTensors ? static_cast<int>(threadIdx.x) : record; k < a.record_count;
       k += step) {
    if (!Rule::kAllTensors && threadIdx.x != 0) break;
    const UpdateRecord& r = a.records[k];
    if (r.rule != a.rule) continue;
    reinterpret_cast<const Rule*>(r.functor)->end(totals, a.results + int64_t{k} * kChunkSums);
  }
}

template <class Terms, class End>
__global__ void __launch_bounds__(kOptimThreads, kOptimBlocks) sums_kernel(const UpdateLaunch a) {
  using Rule = Measuring<Terms, End>;
  using T = typename Terms::Element;
  if (a.report != nullptr && a.report->nonfinite != 0) return;
  for (int64_t c = blockIdx.x; c < a.count; c += gridDim.x) {
    const Chunk chunk = a.chunks[c];
    const UpdateRecord& r = a.records[chunk.record];
    double sums[Terms::kSums] = {};
    if (r.rule == a.rule) {
      const Terms rule = rule_of<Terms>(a, chunk, r.functor + offsetof(Rule, terms));
      const ChunkMap<T> map(r, chunk);
      int done = 0;
      if (r.aligned != 0) {
        constexpr int N = kPack<T>;
        done = chunk.count / N * N;
        for (int i = static_cast<int>(threadIdx.x) * N; i < done; i += kOptimThreads * N)
          sums_pack<Terms, N>(r, rule, map, chunk.begin, i, sums);
      }
      for (int i = done + static_cast<int>(threadIdx.x); i < chunk.count; i += kOptimThreads)
        sums_pack<Terms, 1>(r, rule, map, chunk.begin, i, sums);
    } else if (!Rule::kAllTensors) {
      continue;
    }
#pragma unroll
    for (int s = 0; s < Terms::kSums; ++s) {
      const double total = block_reduce(sums[s], 0.0);
      if (threadIdx.x == 0) a.sums[c * kChunkSums + s] = total;
    }
    end_sums<Rule>(a, chunk.record);
  }
}

/// As many blocks as stay resident, or one per chunk where there are fewer.
inline Grid optim_grid(int64_t items) {
  return grid_for(items * kOptimThreads, kOptimThreads,
                  static_cast<int64_t>(multiprocessors()) * kOptimBlocks);
}

template <class Rule>
void launch_update(const UpdateLaunch& a) {
  if (a.count > 0) launch(update_kernel<Rule>, optim_grid(a.count), a.stream, a);
}
template <class Terms, class End>
void launch_sums(const UpdateLaunch& a) {
  if (a.count > 0) launch(sums_kernel<Terms, End>, optim_grid(a.count), a.stream, a);
}

}  // namespace sing::cuda
