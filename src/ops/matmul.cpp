#include <algorithm>

#include "kernels/gemm.h"
#include "ops/op_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"
#include "sing/ops/linear.h"

namespace sing::ops {
namespace {

/// The leading dimensions of both operands after broadcasting, with their strides (0 where an
/// operand repeats).
struct Batch {
  int rank = 0;
  std::array<int64_t, kernels::kGemmBatchRank> dims{}, a{}, b{}, c{};
};

int64_t leading_stride(const Tensor& t, int leading, int dim) {
  const int own = dim - (leading - (t.rank() - 2));
  return own < 0 || t.size(own) == 1 ? 0 : t.stride(own);
}

Batch batch_of(const Tensor& a, const Tensor& b, const Tensor& c) {
  Batch batch;
  batch.rank = c.rank() - 2;
  for (int i = 0; i < batch.rank; ++i) {
    const size_t s = static_cast<size_t>(i);
    batch.dims[s] = c.size(i);
    batch.a[s] = leading_stride(a, batch.rank, i);
    batch.b[s] = leading_stride(b, batch.rank, i);
    batch.c[s] = c.stride(i);
  }
  return batch;
}

kernels::GemmArgs arguments(const Tensor& a, const Tensor& b, Tensor& c) {
  kernels::GemmArgs g{};
  g.a = a.raw();
  g.b = b.raw();
  g.c = c.mutable_raw();
  g.dtype = a.dtype();
  g.c_dtype = c.dtype();
  g.m = a.size(-2);
  g.k = a.size(-1);
  g.n = b.size(-1);
  g.a_row = a.stride(-2);
  g.a_col = a.stride(-1);
  g.b_row = b.stride(-2);
  g.b_col = b.stride(-1);
  g.c_row = g.n;
  return g;
}

void note_product(const kernels::GemmArgs& g) {
  double flops =
      2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
  for (int i = 0; i < g.batch_rank; ++i)
    flops *= static_cast<double>(g.batch[static_cast<size_t>(i)]);
  backend::note_flops(flops);
}

void forward(const Tensor& a, const Tensor& b, Tensor& c) {
  kernels::GemmArgs g = arguments(a, b, c);
  const Batch batch = batch_of(a, b, c);
  g.batch_rank = batch.rank;
  g.batch = batch.dims;
  g.a_batch = batch.a;
  g.b_batch = batch.b;
  g.c_batch = batch.c;
  note_product(g);
  kernels::gemm(a.device().type, g);
}

const char* shifted(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

/// out = sum over the repeated leading dimensions of left right: those dimensions are walked one
/// product after the other, each adding to the last; the others are the batch of each product.
/// `left` and `right` have the leading dimensions of the result of the forward pass or 1.
void backward(const Tensor& left, const Tensor& right, Tensor& out, const Shape& leading,
              bool accumulate) {
  kernels::GemmArgs g = arguments(left, right, out);
  struct Walk {
    int64_t size, left, right;
  };
  std::array<Walk, kernels::kGemmBatchRank> walks{};
  size_t walked = 0;
  int64_t turns = 1;
  for (int i = 0; i < leading.rank(); ++i) {
    const int64_t l = leading_stride(left, leading.rank(), i);
    const int64_t r = leading_stride(right, leading.rank(), i);
    const int own = i - (leading.rank() - (out.rank() - 2));
    if (own < 0 || (out.size(own) == 1 && leading[i] != 1)) {
      walks[walked++] = {leading[i], l, r};
      turns *= leading[i];
      continue;
    }
    const size_t at = static_cast<size_t>(g.batch_rank++);
    g.batch[at] = leading[i];
    g.a_batch[at] = l;
    g.b_batch[at] = r;
    g.c_batch[at] = out.stride(own);
  }
  if (turns == 0 && !accumulate) out.fill(0);
  const void *a = g.a, *b = g.b;
  for (int64_t turn = 0; turn < turns; ++turn) {
    int64_t rest = turn, at_left = 0, at_right = 0;
    for (size_t i = walked; i-- > 0;) {
      at_left += rest % walks[i].size * walks[i].left;
      at_right += rest % walks[i].size * walks[i].right;
      rest /= walks[i].size;
    }
    g.a = shifted(a, at_left, left.dtype());
    g.b = shifted(b, at_right, right.dtype());
    g.accumulate = accumulate || turn > 0;
    note_product(g);
    kernels::gemm(left.device().type, g);
  }
}

Tensor gradient(const Tensor& left, const Tensor& right, const Tensor& like, const Shape& leading,
                const autograd::Needs& needs, size_t input) {
  if (!needs[input]) return {};
  Tensor target = needs.target(input);
  const bool accumulate = target.defined();
  if (!accumulate)
    target = Tensor::empty(like.shape(), {.dtype = like.dtype(), .device = like.device()});
  backward(left, right, target, leading, accumulate);
  return accumulate ? Tensor() : target;
}

}  // namespace

Tensor matmul(const Tensor& a_in, const Tensor& b_in) {
  const backend::OpScope scope("matmul");
  const Tensor a = autocast::input(a_in, autocast::Policy::lower);
  const Tensor b = autocast::input(b_in, autocast::Policy::lower);
  check_one_floating_dtype("matmul", {{"a", a}, {"b", b}});
  if (a.rank() < 2 || b.rank() < 2 || a.size(-1) != b.size(-2))
    throw ShapeError("matmul: wanted (..., m, k) and (..., k, n); got " + to_string(a.shape()) +
                     " and " + to_string(b.shape()));
  const Shape leading =
      broadcast_shapes("matmul", Shape(a.shape().dims().first(static_cast<size_t>(a.rank() - 2))),
                       Shape(b.shape().dims().first(static_cast<size_t>(b.rank() - 2))));
  std::array<int64_t, kMaxRank> dims{};
  std::copy(leading.begin(), leading.end(), dims.begin());
  const size_t rank = static_cast<size_t>(leading.rank());
  dims[rank] = a.size(-2);
  dims[rank + 1] = b.size(-1);
  Tensor c = Tensor::empty(Shape(std::span<const int64_t>(dims.data(), rank + 2)),
                           {.dtype = a.dtype(), .device = a.device()});
  forward(a, b, c);
  if (!autograd::will_record({a, b})) return c;
  using autograd::Saved;
  return autograd::record(
      "matmul", {a, b}, c,
      [a = Saved(a), b = Saved(b), leading](const Tensor& grad, const autograd::Needs& needs) {
        return autograd::GradList{gradient(grad, b->transpose(-1, -2), *a, leading, needs, 0),
                                  gradient(a->transpose(-1, -2), grad, *b, leading, needs, 1)};
      });
}

}  // namespace sing::ops
