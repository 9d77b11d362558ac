// Backward of attention on tensor cores beyond 64 keys: each score is computed once, by the blocks
// of attention_one_pass.h. Where a head needs several, a second kernel adds their parts of the
// gradient of the queries.
#include <algorithm>

#include "kernels/cuda/attention_one_pass.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

template <int kWarps, bool kExtras>
__global__ void __launch_bounds__(kWarps* kWarp, kWarps == 4 ? 2 : 1)
    mma_grad_kernel(OnePassOperands o, AttentionShape s) {
  using Shared = OnePassShared<kWarps>;
  SING_DYNAMIC_SHARED(Shared, shared);
  OnePass<kWarps, kExtras> pass(o, s, *shared);
  constexpr int kKeys = Shared::kKeys;
  const int items = static_cast<int>(o.heads) * ((static_cast<int>(s.keys) + kKeys - 1) / kKeys);
  const Item item = item_of<kKeys>(o, s, static_cast<int>(blockIdx.x));
  pass.load_keys(shared->k, o.k, o.k_strides, item, s.dim);
  pass.load_keys(shared->v, o.v, o.v_strides, item, s.value_dim);
  pass.begin_tile(item, first_tile(s, item.first_key), 0);
  Rules<kExtras>(s, item.b, item.h, shared->key_mask).load_key_mask(item.first_key, kKeys);
  pass.finish_tile(0);
  __syncthreads();
  int buffer = 0;
#pragma unroll 1
  for (int i = item.number; i < items; i += static_cast<int>(gridDim.x))
    buffer = pass.work(item_of<kKeys>(o, s, i), items, buffer);
}

/// grad_q = scale * the sum of what the blocks of keys have left, eight numbers per thread.
template <int kKeys>
__global__ void __launch_bounds__(kBlockThreads)
    add_parts_kernel(OnePassOperands o, AttentionShape s) {
  const int64_t chunks = s.dim / 8, blocks = (s.keys + kKeys - 1) / kKeys;
  const int64_t all = o.heads * s.queries * chunks;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < all;
       at += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t c = at % chunks * 8, i = at / chunks % s.queries, own = at / chunks / s.queries;
    // Blocks whose keys come after the tile of query i have left nothing.
    const int64_t seen = s.causal ? i / kTileRows * kTileRows / kKeys + 1 : blocks;
    const int64_t count = seen < blocks ? seen : blocks;
    const float* from = o.parts + (own * blocks * s.queries + i) * kPartRow + c;
    float sums[8] = {};
#pragma unroll 4
    for (int64_t k = 0; k < count; ++k, from += s.queries * kPartRow)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const auto part = *reinterpret_cast<const Pack<float, 4>*>(from + 4 * half);
#pragma unroll
        for (int x = 0; x < 4; ++x) sums[4 * half + x] += part.at[x];
      }
    Chunk result;
#pragma unroll
    for (int x = 0; x < 8; ++x) result.at[x] = narrow_bf16(sums[x] * s.scale);
    const int64_t head = o.first_head + own;
    *reinterpret_cast<Chunk*>(head_of(o.grad_q, o.grad_q_strides, head / s.heads, head % s.heads) +
                              i * o.grad_q_strides.row + c) = result;
  }
}

/// Bytes of parts at a time; more heads than that are served in several launches.
constexpr int64_t kMostPartBytes = int64_t{256} << 20;

template <int kWarps, bool kExtras>
void run(const kernels::AttentionBackwardArgs& a) {
  using Shared = OnePassShared<kWarps>;
  const kernels::AttentionProblem& p = a.problem;
  const AttentionShape shape = attention_shape(p);
  const auto in = [](const void* data) { return static_cast<const bfloat16*>(data); };
  const auto to = [](void* data) { return static_cast<bfloat16*>(data); };
  const int64_t heads = p.batch * p.heads, blocks = (p.keys + Shared::kKeys - 1) / Shared::kKeys;
  const int64_t head_bytes = blocks * p.queries * kPartRow * static_cast<int64_t>(sizeof(float));
  const int64_t at_once =
      blocks == 1 ? heads : std::clamp<int64_t>(kMostPartBytes / head_bytes, 1, heads);
  const Workspace parts(blocks == 1 ? 0 : static_cast<size_t>(at_once * head_bytes), a.stream);
  const auto kernel = mma_grad_kernel<kWarps, kExtras>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Shared)),
        "shared memory for attention");
  for (int64_t first = 0; first < heads; first += at_once) {
    const OnePassOperands o{in(a.q),
                            in(a.k),
                            in(a.v),
                            in(a.out),
                            in(a.grad),
                            static_cast<const float*>(a.log_sum),
                            to(a.grad_q),
                            to(a.grad_k),
                            to(a.grad_v),
                            blocks == 1 ? nullptr : parts.as<float>(),
                            a.q_strides,
                            a.k_strides,
                            a.v_strides,
                            a.out_strides,
                            a.grad_strides,
                            a.grad_q_strides,
                            a.grad_k_strides,
                            a.grad_v_strides,
                            first,
                            std::min(at_once, heads - first)};
    // Blocks stay and take the next head while the copies of its keys are under way.
    const int64_t resident = int64_t{multiprocessors()} * (kWarps == 4 ? 2 : 1);
    launch(kernel,
           Grid{dim3(static_cast<unsigned>(std::min(o.heads * blocks, resident))),
                dim3(kWarps * kWarp), sizeof(Shared)},
           a.stream, o, shape);
    if (blocks > 1)
      launch(add_parts_kernel<Shared::kKeys>, grid_for(o.heads * p.queries * (p.dim / 8)), a.stream,
             o, shape);
  }
}

}  // namespace

void mma_attention_one_pass(const kernels::AttentionBackwardArgs& a) {
  // The size of block that leaves fewer places for keys empty; of equals the larger one, which
  // leaves fewer parts.
  const int64_t small = (a.problem.keys + 127) / 128 * 128, large = (small + 255) / 256 * 256;
  const bool extras = a.problem.mask != nullptr || a.problem.drop_below != 0;
  if (small < large)
    extras ? run<4, true>(a) : run<4, false>(a);
  else
    extras ? run<8, true>(a) : run<8, false>(a);
}

}  // namespace sing::cuda
