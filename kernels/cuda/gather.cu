// gather and its gradient.
#include "kernels/gather.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/walk.h"

namespace sing::cuda {

IndexArray index_array(const char* op, const void* data, DType dtype) {
  if (dtype != DType::i64 && dtype != DType::i32)
    throw NotImplementedError(std::string(op) + ": indices must be i64 or i32, not " +
                              std::string(name_of(dtype)));
  return {data, dtype == DType::i64};
}

namespace {

/// Walk operands: out, x with 0 along the gathered dimension, index. Elements are only moved.
template <class Bits, int N>
__global__ void __launch_bounds__(kBlockThreads)
    gather_kernel(Bits* out, const Bits* x, IndexArray index, UnitWalk<3> walk, int64_t extent,
                  int64_t step, Fault* fault) {
  const uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x;
  if (unit >= walk.units) return;
  const Offsets<3> at = offsets_of(walk, unit);
  const uint32_t count = unit + 1 == walk.units ? walk.last : N;
  const int64_t row = index.at(at.of[2]);
  Pack<Bits, N> pack{};
  if (row >= 0 && row < extent)
    pack = load_unit<N>(x + at.of[1] + row * step, walk.strides[1][0] == 0, count);
  else
    report_index(fault, row, extent);
  store_unit<N>(out + at.of[0], pack, count);
}

template <class Bits>
void gather_bits(const kernels::GatherArgs& args, const kernels::Walk<3>& walk) {
  constexpr int N = kPack<Bits>;
  const int64_t step = args.x_strides[static_cast<size_t>(args.dim)];
  const Bits* x = static_cast<const Bits*>(args.x);
  Bits* out = static_cast<Bits*>(args.out);
  const auto start = [&](auto kernel, int pack) {
    for_each_piece<3>(
        walk, pack, [&](const UnitWalk<3>& units, const std::array<int64_t, 3>& offsets) {
          IndexArray index = index_array("gather", args.index, args.index_dtype);
          index.data = static_cast<const char*>(index.data) +
                       offsets[2] * static_cast<int64_t>(size_of(args.index_dtype));
          launch(kernel, grid_for(units.units, kBlockThreads, INT32_MAX), args.stream,
                 out + offsets[0], x + offsets[1], index, units, args.extent, step, fault());
        });
  };
  // Whole packs come from one row: the index must stay where it is along them.
  if (step % N == 0 &&
      walks_in_packs<3>(walk, N, {aligned_for_packs(16, out), aligned_for_packs(16, x), false}))
    start(gather_kernel<Bits, N>, N);
  else
    start(gather_kernel<Bits, 1>, 1);
}

constexpr int kLineThreads = 128;

/// One thread per line along the gathered dimension: what meets in one element is added in order.
template <class T, class G>
__global__ void __launch_bounds__(kLineThreads)
    add_lines_kernel(G* dx, const T* grad, IndexArray index, UnitWalk<3> walk, int64_t n,
                     int64_t extent, int64_t dx_step, int64_t grad_step, int64_t index_step) {
  const uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x;
  if (unit >= walk.units) return;
  const Offsets<3> at = offsets_of(walk, unit);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = index.at(at.of[2] + i * index_step);
    if (row < 0 || row >= extent) continue;  // reported by the way forward
    G& to = dx[at.of[0] + row * dx_step];
    to = from_value<G>(to_value(to) + to_value(grad[at.of[1] + i * grad_step]));
  }
}

void add_lines(const kernels::GatherBackwardArgs& args, const kernels::Walk<3>& lines) {
  const size_t along = static_cast<size_t>(args.dim);
  dispatch_floating("gather_bwd", args.dtype, [&](auto tag) {
    dispatch_floating("gather_bwd", args.dx_dtype, [&](auto dx_tag) {
      using T = decltype(tag);
      using G = decltype(dx_tag);
      for_each_piece<3>(
          lines, 1, [&](const UnitWalk<3>& units, const std::array<int64_t, 3>& offsets) {
            IndexArray index = index_array("gather_bwd", args.index, args.index_dtype);
            index.data = static_cast<const char*>(index.data) +
                         offsets[2] * static_cast<int64_t>(size_of(args.index_dtype));
            launch(add_lines_kernel<T, G>, grid_for(units.units, kLineThreads, INT32_MAX),
                   args.stream, static_cast<G*>(args.dx) + offsets[0],
                   static_cast<const T*>(args.grad) + offsets[1], index, units, args.dims[along],
                   args.extent, args.dx_strides[along], args.grad_strides[along],
                   args.index_strides[along]);
          });
    });
  });
}

void gather_backward(const kernels::GatherBackwardArgs& args) {
  const size_t along = static_cast<size_t>(args.dim);
  const int64_t n = args.dims[along];
  if (n == 0) return;
  kernels::Walk<3> lines;
  lines.rank = args.rank;
  lines.dims = args.dims;
  lines.dims[along] = 1;
  lines.strides = {args.dx_strides, args.grad_strides, args.index_strides};
  lines = merged(lines);
  bool shared = true;  // all lines have the same index, as in index_select
  for (size_t d = 0; d < static_cast<size_t>(lines.rank); ++d)
    shared = shared && (lines.dims[d] == 1 || lines.strides[2][d] == 0);
  constexpr int64_t kShort = 32;  // a line this short is walked before a list is sorted
  if (!shared || n <= kShort) return add_lines(args, lines);
  AddRows rows{};
  rows.to = args.dx;
  rows.from = args.grad;
  rows.to_dtype = args.dx_dtype;
  rows.from_dtype = args.dtype;
  rows.index = index_array("gather_bwd", args.index, args.index_dtype);
  rows.index_step = args.index_strides[along];
  rows.n = n;
  rows.rows = args.extent;
  rows.skipped = -1;
  rows.to_step = args.dx_strides[along];
  rows.from_step = args.grad_strides[along];
  rows.columns = merged(chosen(lines, std::index_sequence<0, 1>{}));
  rows.stream = args.stream;
  add_rows(rows);
}

}  // namespace

void gather_elements(const kernels::GatherArgs& args) {
  const size_t along = static_cast<size_t>(args.dim);
  kernels::Walk<3> walk;
  walk.rank = args.rank;
  walk.dims = args.dims;
  walk.strides = {args.out_strides, args.x_strides, args.index_strides};
  walk.strides[1][along] = 0;
  walk = merged(walk);
  switch (size_of(args.dtype)) {
    case 8:
      return gather_bits<uint64_t>(args, walk);
    case 4:
      return gather_bits<uint32_t>(args, walk);
    case 2:
      return gather_bits<uint16_t>(args, walk);
    default:
      return gather_bits<uint8_t>(args, walk);
  }
}

namespace {
SING_CUDA_KERNEL(kernels::gather, gather_elements)
SING_CUDA_KERNEL(kernels::gather_bwd, gather_backward)
}  // namespace

}  // namespace sing::cuda
