// Rows of a table by their numbers, and the sums that go back to them.
#include "kernels/embedding.h"

#include "kernels/cuda/index.h"

namespace sing::cuda {
namespace {

void embedding_forward(const kernels::EmbeddingFwdArgs& a) {
  kernels::GatherArgs gather{};
  gather.out = a.y;
  gather.x = a.weight;
  gather.index = a.indices;
  gather.dtype = a.dtype;
  gather.index_dtype = a.index_dtype;
  gather.rank = 2;
  gather.dim = 0;
  gather.extent = a.rows;
  gather.dims = {a.n, a.width};
  gather.out_strides = {a.width, 1};
  gather.x_strides = {a.width, 1};
  gather.index_strides = {1, 0};
  gather.stream = a.stream;
  gather_elements(gather);
}

/// The workspaces of the arguments are made for a sort of one thread and stay unused.
void embedding_backward(const kernels::EmbeddingBwdArgs& a) {
  AddRows rows{};
  rows.to = a.grad_weight;
  rows.from = a.grad_y;
  rows.to_dtype = a.grad_dtype;
  rows.from_dtype = a.dtype;
  rows.index = index_array("embedding", a.indices, a.index_dtype);
  rows.index_step = 1;
  rows.n = a.n;
  rows.rows = a.rows;
  rows.skipped = a.padding_idx;
  rows.to_step = rows.from_step = a.width;
  rows.columns.dims[0] = a.width;
  rows.columns.strides = {{{1}, {1}}};
  rows.stream = a.stream;
  add_rows(rows);
}

SING_CUDA_KERNEL(kernels::embedding_fwd, embedding_forward)
SING_CUDA_KERNEL(kernels::embedding_bwd, embedding_backward)

}  // namespace
}  // namespace sing::cuda
