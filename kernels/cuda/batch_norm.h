#pragma once
// How batch normalisation shares out [outer, channels, inner]. With inner = 1 (channels-last
// images, matrices) threads side by side take neighbouring channels (columns.h); else a block takes
// a piece of one channel.
#include "kernels/batch_norm.h"
#include "kernels/cuda/columns.h"

namespace sing::cuda {

using kernels::BatchNormGeometry;

/// Element c of a parameter vector of f32 or bf16.
SING_DEVICE float parameter(const void* values, DType dtype, int64_t c, float absent) {
  if (values == nullptr) return absent;
  return dtype == DType::f32 ? static_cast<const float*>(values)[c]
                             : to_value(static_cast<const bfloat16*>(values)[c]);
}

/// How the elements are shared out: as rows x channels (inner = 1), or channel by channel as
/// `count` packs that are not a matrix.
struct Pieces {
  int64_t rows, channels, inner;  // rows: of one channel; with inner > 1 its packs
  int64_t per_chunk, chunks, across;
  Grid grid;
};
inline Pieces pieces_of(const BatchNormGeometry& g, int pack) {
  Pieces p{};
  p.channels = g.channels;
  p.inner = g.inner;
  if (g.inner == 1) {
    const ColumnPlan plan = column_plan(g.outer, g.channels / pack);
    p.rows = g.outer;
    p.per_chunk = plan.rows_per_block;
    p.chunks = plan.chunks;
    p.across = plan.across;
    p.grid = plan.grid();
    return p;
  }
  p.rows = g.outer * g.inner / pack;
  const int64_t least = 2 * kColumnUnroll * kColumnThreads;
  const int64_t wanted = (1056 + g.channels - 1) / g.channels;
  const int64_t chunks = std::clamp<int64_t>(p.rows / least, 1, wanted);
  p.per_chunk = (p.rows + chunks - 1) / chunks;
  p.chunks = (p.rows + p.per_chunk - 1) / p.per_chunk;
  p.across = g.channels;
  p.grid = {dim3(static_cast<unsigned>(p.across * p.chunks)), dim3(kColumnThreads), 0};
  return p;
}

/// Where a thread of a block of one channel works.
template <int N>
struct PiecePlace {
  int64_t channel, chunk, at, end;
  explicit SING_DEVICE PiecePlace(const Pieces& p)
      : channel(static_cast<int64_t>(blockIdx.x) % p.across),
        chunk(static_cast<int64_t>(blockIdx.x) / p.across),
        at(chunk * p.per_chunk + threadIdx.x),
        end((chunk + 1) * p.per_chunk < p.rows ? (chunk + 1) * p.per_chunk : p.rows) {}
  /// Of the first element of pack number `pack` of the channel.
  SING_DEVICE int64_t offset(const Pieces& p, int64_t pack) const {
    const int64_t outer = quotient(pack * N, p.inner);
    return (outer * p.channels + channel) * p.inner + (pack * N - outer * p.inner);
  }
};

/// Calls run.operator()<T, N>() with the pack that fits the geometry and the pointers.
template <class Run, class... Pointers>
void with_pack(DType dtype, const BatchNormGeometry& g, Run&& run, const Pointers*... pointers) {
  dispatch_floating("batch_norm", dtype, [&](auto tag) {
    using T = decltype(tag);
    const int64_t side = g.inner == 1 ? g.channels : g.inner;
    if (side % kPack<T> == 0 && aligned_for_packs(16, pointers...))
      run.template operator()<T, kPack<T>>();
    else
      run.template operator()<T, 1>();
  });
}

}  // namespace sing::cuda
