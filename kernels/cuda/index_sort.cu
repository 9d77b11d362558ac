// A stable radix sort, eight bits at a time from the lowest, in three launches each: count the
// digits of every tile, find where each tile's share of a digit begins, move. Counts are whole
// numbers, so the atomics among them do not touch the result.
#include "kernels/cuda/index_sort.h"

#include <bit>

#include "kernels/cuda/launch.h"

namespace sing::cuda {
namespace {

constexpr int kBits = 8, kDigits = 1 << kBits;
constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kRounds = 8;                 // elements of a thread
constexpr int kTile = kThreads * kRounds;  // elements of a block
constexpr int kScanThreads = 1024;
static_assert(kThreads == kDigits, "one thread per digit");

int64_t tiles_of(int64_t n) {
  return (n + kTile - 1) / kTile;
}

__global__ void __launch_bounds__(kBlockThreads)
    make_list_kernel(RowPlace* list, IndexArray index, int64_t step, uint32_t n, uint32_t rows,
                     int64_t skipped) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int64_t row = index.at(i * step);
  const bool wanted = row >= 0 && row < rows && row != skipped;
  list[i] = {wanted ? static_cast<uint32_t>(row) : rows, i};
}

__global__ void __launch_bounds__(kThreads)
    count_kernel(uint32_t* counts, const RowPlace* list, uint32_t n, int shift) {
  __shared__ uint32_t seen[kDigits];
  seen[threadIdx.x] = 0;
  __syncthreads();
  const uint32_t first = blockIdx.x * kTile + threadIdx.x;
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const uint32_t i = first + static_cast<uint32_t>(r) * kThreads;
    if (i < n) atomicAdd(&seen[(list[i].row >> shift) % kDigits], 1u);
  }
  __syncthreads();
  counts[threadIdx.x * gridDim.x + blockIdx.x] = seen[threadIdx.x];  // by digit, then tile
}

/// counts[i] = the sum of all before i; one block.
__global__ void __launch_bounds__(kScanThreads) scan_kernel(uint32_t* counts, uint32_t n) {
  __shared__ uint32_t of_warp[kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  uint32_t before = 0;
  for (uint32_t first = 0; first < n; first += kScanThreads) {
    const uint32_t i = first + threadIdx.x;
    const uint32_t own = i < n ? counts[i] : 0;
    uint32_t sum = own;  // over the lanes up to this one
#pragma unroll
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const uint32_t other = __shfl_up_sync(0xffffffffu, sum, offset);
      if (lane >= offset) sum += other;
    }
    if (lane == kWarp - 1) of_warp[warp] = sum;
    __syncthreads();
    uint32_t warps = of_warp[lane];  // there are as many warps as lanes
#pragma unroll
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const uint32_t other = __shfl_up_sync(0xffffffffu, warps, offset);
      if (lane >= offset) warps += other;
    }
    const uint32_t earlier = __shfl_sync(0xffffffffu, warps, warp == 0 ? 0 : warp - 1);
    const uint32_t total = __shfl_sync(0xffffffffu, warps, kWarp - 1);
    if (i < n) counts[i] = before + (warp == 0 ? 0 : earlier) + sum - own;
    before += total;
    __syncthreads();  // of_warp is written again
  }
}

/// The lanes whose element has the same digit, of those that have one.
SING_DEVICE unsigned peers_of(uint32_t digit, bool valid) {
  unsigned mask = __ballot_sync(0xffffffffu, valid);
#pragma unroll
  for (int bit = 0; bit < kBits; ++bit) {
    const bool set = (digit >> bit & 1) != 0;
    const unsigned lanes = __ballot_sync(0xffffffffu, set);
    mask &= set ? lanes : ~lanes;
  }
  return mask;
}

__global__ void __launch_bounds__(kThreads)
    move_kernel(RowPlace* to, const RowPlace* from, const uint32_t* starts, uint32_t n, int shift) {
  // First how many elements of a digit a warp has, then where its next one goes.
  __shared__ uint32_t next[kWarps][kDigits];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int w = 0; w < kWarps; ++w) next[w][threadIdx.x] = 0;
  __syncthreads();
  // A warp has neighbours, so that the order of warps and rounds is that of the list.
  const uint32_t first = blockIdx.x * kTile + static_cast<uint32_t>(warp * kWarp * kRounds + lane);
  RowPlace own[kRounds];
  unsigned peers[kRounds];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const uint32_t i = first + static_cast<uint32_t>(r) * kWarp;
    own[r] = i < n ? from[i] : RowPlace{0, 0};
    const uint32_t digit = (own[r].row >> shift) % kDigits;
    peers[r] = peers_of(digit, i < n);
    if (i < n && __ffs(static_cast<int>(peers[r])) - 1 == lane)
      next[warp][digit] += static_cast<uint32_t>(__popc(peers[r]));
    __syncwarp();
  }
  __syncthreads();
  uint32_t start = starts[threadIdx.x * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t count = next[w][threadIdx.x];
    next[w][threadIdx.x] = start;
    start += count;
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const uint32_t i = first + static_cast<uint32_t>(r) * kWarp;
    const uint32_t digit = (own[r].row >> shift) % kDigits;
    const uint32_t base = next[warp][digit];
    __syncwarp();
    if (i < n) {
      const uint32_t rank = static_cast<uint32_t>(__popc(peers[r] & ((1u << lane) - 1)));
      to[base + rank] = own[r];
      if (rank == 0) next[warp][digit] = base + static_cast<uint32_t>(__popc(peers[r]));
    }
    __syncwarp();
  }
}

}  // namespace

size_t sort_bytes(int64_t n) {
  return static_cast<size_t>(2 * n) * sizeof(RowPlace) +
         static_cast<size_t>(tiles_of(n) * kDigits) * sizeof(uint32_t);
}

const RowPlace* sort_by_row(const IndexArray& index, int64_t index_step, int64_t n, int64_t rows,
                            int64_t skipped, void* workspace, Stream stream) {
  RowPlace* list = static_cast<RowPlace*>(workspace);
  RowPlace* other = list + n;
  uint32_t* counts = reinterpret_cast<uint32_t*>(other + n);
  const uint32_t length = static_cast<uint32_t>(n);
  const Grid tiles{dim3(static_cast<unsigned>(tiles_of(n))), dim3(kThreads), 0};
  launch(make_list_kernel, grid_for(n, kBlockThreads, INT32_MAX), stream, list, index, index_step,
         length, static_cast<uint32_t>(rows), skipped);
  const int bits = std::bit_width(static_cast<uint32_t>(rows));  // of the largest row, `rows`
  for (int shift = 0; shift < bits; shift += kBits) {
    launch(count_kernel, tiles, stream, counts, list, length, shift);
    launch(scan_kernel, Grid{dim3(1), dim3(kScanThreads), 0}, stream, counts,
           static_cast<uint32_t>(tiles_of(n) * kDigits));
    launch(move_kernel, tiles, stream, other, list, counts, length, shift);
    std::swap(list, other);
  }
  return list;
}

}  // namespace sing::cuda
