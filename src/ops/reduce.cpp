#include "sing/ops/reduce.h"

#include "ops/reduction.h"
#include "ops/support.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"

namespace sing::ops {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;
using kernels::ReduceOp;

kernels::ReduceArgs reduce_args(const Tensor& x, const std::array<bool, kMaxRank>& reduced) {
  kernels::ReduceArgs args{};
  args.x = x.raw();
  args.dtype = args.out_dtype = x.dtype();
  args.scale = 1;
  const auto append = [](int& rank, auto& dims, auto& strides, int64_t n, int64_t stride) {
    const size_t last = static_cast<size_t>(rank) - 1;
    if (rank > 0 && strides[last] == stride * n) {
      dims[last] *= n;
      strides[last] = stride;
      return;
    }
    const size_t at = static_cast<size_t>(rank++);
    dims[at] = n;
    strides[at] = stride;
  };
  for (int d = 0; d < x.rank(); ++d) {
    if (x.size(d) == 1) continue;
    if (reduced[static_cast<size_t>(d)])
      append(args.reduced_rank, args.reduced_dims, args.reduced_strides, x.size(d), x.stride(d));
    else
      append(args.kept_rank, args.kept_dims, args.kept_strides, x.size(d), x.stride(d));
  }
  return args;
}

namespace {

/// The shape with the reduced dimensions as 1 (`keepdim`) or gone, and how many elements meet.
struct Plan {
  std::array<bool, kMaxRank> reduced;
  Shape with_ones, out;
  int64_t count;
};
Plan make_plan(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  Plan plan{named_dims(op, x.shape(), dims), x.shape(), {}, 1};
  std::vector<int64_t> rest, gone;
  for (int d = 0; d < x.rank(); ++d) {
    if (plan.reduced[static_cast<size_t>(d)]) {
      gone.push_back(x.size(d));
      plan.with_ones = plan.with_ones.with(d, 1);
      if (keepdim) rest.push_back(1);
    } else {
      rest.push_back(x.size(d));
    }
  }
  plan.count = checked_numel(gone);
  plan.out = Shape(std::span<const int64_t>(rest));
  return plan;
}

/// Sums have no fast kernel for odd strides; a dense copy would cost as much as it saves.
void run_reduce(const Tensor& x, const Plan& plan, ReduceOp op, double scale, Tensor& out) {
  kernels::ReduceArgs args = reduce_args(x, plan.reduced);
  args.out = out.mutable_raw();
  args.op = op;
  args.scale = scale;
  args.out_dtype = out.dtype();
  kernels::reduce(x.device().type, args);
}

Tensor scaled_sum(const char* op, const Tensor& x_in, const Plan& plan, double scale) {
  const backend::OpScope scope(op);
  const Tensor x = autocast::input(x_in, autocast::Policy::widen);
  check_floating(op, x);
  Tensor out = Tensor::empty(plan.out, {.dtype = x.dtype(), .device = x.device()});
  run_reduce(x, plan, ReduceOp::sum, scale, out);
  return autograd::record(
      op, {x}, out,
      [shape = x.shape(), with_ones = plan.with_ones, scale](const Tensor& grad, const Needs&) {
        const Tensor each = scale == 1 ? grad : mul_scalar(grad, scale);
        return GradList{each.contiguous().view(with_ones).expand(shape)};
      });
}

Tensor extremum(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim,
                ReduceOp kind) {
  const backend::OpScope scope(op);
  const Plan plan = make_plan(op, x, dims, keepdim);
  if (plan.count == 0 && plan.out.numel() > 0)
    throw ShapeError(std::string(op) + ": wanted at least one element to choose from; got " +
                     to_string(x.shape()));
  const bool recording = autograd::will_record({x});
  Tensor out = Tensor::empty(plan.out, {.dtype = x.dtype(), .device = x.device()});
  Tensor positions;
  kernels::ReduceArgs args = reduce_args(x, plan.reduced);
  args.out = out.mutable_raw();
  args.op = kind;
  if (recording) {
    positions = Tensor::empty(plan.out, {.dtype = DType::i64, .device = x.device()});
    args.positions = positions.mutable_data<int64_t>();
  }
  kernels::reduce(x.device().type, args);
  return autograd::record(
      op, {x}, out,
      [shape = x.shape(), plan, positions = Saved(positions)](const Tensor& grad, const Needs&) {
        Tensor dx = Tensor::zeros(shape, {.dtype = grad.dtype(), .device = grad.device()});
        const Tensor g = grad.contiguous();
        const kernels::ReduceArgs dims_of = reduce_args(dx, plan.reduced);
        kernels::ReduceSelectBackwardArgs back{};
        back.dx = dx.mutable_raw();
        back.grad = g.raw();
        back.positions = positions->data<int64_t>();
        back.dtype = g.dtype();
        back.kept_rank = dims_of.kept_rank;
        back.reduced_rank = dims_of.reduced_rank;
        back.kept_dims = dims_of.kept_dims;
        back.kept_strides = dims_of.kept_strides;
        back.reduced_dims = dims_of.reduced_dims;
        back.reduced_strides = dims_of.reduced_strides;
        kernels::reduce_select_bwd(g.device().type, back);
        return GradList{dx};
      });
}

Tensor truth(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim,
             ReduceOp kind) {
  const backend::OpScope scope(op);
  const Plan plan = make_plan(op, x, dims, keepdim);
  Tensor out = Tensor::empty(plan.out, {.dtype = DType::boolean, .device = x.device()});
  run_reduce(x, plan, kind, 1, out);
  return out;
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return scaled_sum("sum", x, make_plan("sum", x, dims, keepdim), 1);
}

Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  const Plan plan = make_plan("mean", x, dims, keepdim);
  return scaled_sum("mean", x, plan, 1 / static_cast<double>(plan.count));
}

Tensor max(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extremum("max", x, dims, keepdim, ReduceOp::max);
}

Tensor min(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extremum("min", x, dims, keepdim, ReduceOp::min);
}

Tensor argmax(const Tensor& x, int dim, bool keepdim) {
  const backend::OpScope scope("argmax");
  const Plan plan = make_plan("argmax", x, {dim}, keepdim);
  if (plan.count == 0 && plan.out.numel() > 0)
    throw ShapeError("argmax: wanted at least one element to choose from; got " +
                     to_string(x.shape()));
  Tensor out = Tensor::empty(plan.out, {.dtype = DType::i64, .device = x.device()});
  kernels::ReduceArgs args = reduce_args(x, plan.reduced);
  args.positions = out.mutable_data<int64_t>();
  args.op = ReduceOp::max;
  kernels::reduce(x.device().type, args);
  return out;
}

Tensor any(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return truth("any", x, dims, keepdim, ReduceOp::any);
}

Tensor all(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return truth("all", x, dims, keepdim, ReduceOp::all);
}

Tensor norm(const Tensor& x_in, const std::vector<int>& dims, bool keepdim) {
  const backend::OpScope scope("norm");
  const Tensor x = autocast::input(x_in, autocast::Policy::widen);
  check_floating("norm", x);
  const Plan plan = make_plan("norm", x, dims, keepdim);
  Tensor out = Tensor::empty(plan.out, {.dtype = x.dtype(), .device = x.device()});
  run_reduce(x, plan, ReduceOp::norm, 1, out);
  return autograd::record(
      "norm", {x}, out,
      [x = Saved(x), y = Saved(out), with_ones = plan.with_ones](const Tensor& grad, const Needs&) {
        const Tensor factor = div_or_zero(grad, *y).view(with_ones);
        return GradList{mul(*x, factor)};
      });
}

}  // namespace sing::ops
