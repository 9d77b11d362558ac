#include "sing/ops/attention.h"

#include <cmath>

#include "kernels/attention.h"
#include "ops/op_checks.h"
#include "ops/target.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"

namespace sing::ops {
namespace {

using kernels::AttentionProblem;
using kernels::HeadStrides;

void set_mask(const char* op, AttentionProblem& p, const Tensor& mask) {
  if (!mask.defined()) return;
  if (mask.dtype() != DType::boolean && !is_floating(mask.dtype()))
    throw DTypeError(std::string(op) + ": mask must be boolean or floating; got " + describe(mask));
  p.mask = mask.raw();
  p.mask_dtype = mask.dtype();
  if (mask.rank() == 2 && mask.shape() == Shape{p.batch, p.keys}) {
    p.mask_batch = mask.stride(0);
    p.mask_key = mask.stride(1);
    return;
  }
  const Shape full{p.batch, p.heads, p.queries, p.keys};
  bool fits = mask.rank() == 4;
  for (int i = 0; i < 4 && fits; ++i) fits = mask.size(i) == 1 || mask.size(i) == full[i];
  if (!fits)
    throw ShapeError(std::string(op) + ": mask must be (" + std::to_string(p.batch) + ", " +
                     std::to_string(p.keys) + ") or broadcast to " + to_string(full) + "; got " +
                     to_string(mask.shape()));
  const auto stride = [&](int i) { return mask.size(i) == 1 ? 0 : mask.stride(i); };
  p.mask_batch = stride(0);
  p.mask_head = stride(1);
  p.mask_query = stride(2);
  p.mask_key = stride(3);
}

void set_options(const char* op, AttentionProblem& p, const AttentionOptions& options,
                 const Tensor& mask) {
  if (!(options.dropout >= 0 && options.dropout < 1))
    throw ConfigError(std::string(op) + ": dropout must be at least 0 and below 1; got " +
                      std::to_string(options.dropout));
  p.causal = options.causal;
  p.scale = options.scale.value_or(p.dim > 0 ? 1 / std::sqrt(static_cast<double>(p.dim)) : 1);
  p.drop_below = static_cast<uint32_t>(std::min(std::round(options.dropout * 0x1p32), 0x1p32 - 1));
  p.keep_scale = 1 / (1 - options.dropout);
  p.key = options.key;
  set_mask(op, p, mask);
}

/// What a call needs besides its tensors, kept for the backward pass.
struct Call {
  AttentionProblem problem{};
  autograd::Saved mask;
};

// --- separate q, k, v ---------------------------------------------------------------------------

Tensor with_dense_rows(const Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : x.contiguous();
}

HeadStrides strides_of(const Tensor& x) {
  return {x.stride(0), x.stride(1), x.stride(2)};
}

/// (B, H, T, D) in the memory order of `like`: heads inside tokens when it has them so, because
/// then the caller's permutation back costs nothing.
Tensor like_heads(const Tensor& like, int64_t tokens, int64_t dim) {
  const TensorOptions options{.dtype = like.dtype(), .device = like.device()};
  const int64_t b = like.size(0), h = like.size(1);
  if (like.stride(1) < like.stride(2))
    return Tensor::empty({b, tokens, h, dim}, options).permute({0, 2, 1, 3});
  return Tensor::empty({b, h, tokens, dim}, options);
}

AttentionProblem problem_of(const Tensor& q, const Tensor& k, const Tensor& v) {
  constexpr const char* kOp = "scaled_dot_product_attention";
  check_one_floating_dtype(kOp, {{"q", q}, {"k", k}, {"v", v}});
  const bool rank4 = q.rank() == 4 && k.rank() == 4 && v.rank() == 4;
  if (!rank4 || k.size(0) != q.size(0) || v.size(0) != q.size(0) || k.size(1) != q.size(1) ||
      v.size(1) != q.size(1) || k.size(3) != q.size(3) || v.size(2) != k.size(2))
    throw ShapeError(
        std::string(kOp) + ": wanted q (B, H, Tq, D), k (B, H, Tk, D), v (B, H, Tk, Dv); got " +
        to_string(q.shape()) + ", " + to_string(k.shape()) + " and " + to_string(v.shape()));
  AttentionProblem p{};
  p.batch = q.size(0);
  p.heads = q.size(1);
  p.queries = q.size(2);
  p.keys = k.size(2);
  p.dim = q.size(3);
  p.value_dim = v.size(3);
  p.dtype = q.dtype();
  p.wide_dtype = wide_dtype(q.dtype());
  return p;
}

Tensor log_sums(const AttentionProblem& p, const Tensor& like) {
  return Tensor::empty({p.batch, p.heads, p.queries},
                       {.dtype = p.wide_dtype, .device = like.device()});
}

// --- one packed projection ----------------------------------------------------------------------

/// Part 0, 1 or 2 (q, k, v) of packed rows.
struct Packed {
  int64_t tokens, heads, dim;
  int64_t width() const { return heads * dim; }
  HeadStrides parts() const { return {tokens * 3 * width(), dim, 3 * width()}; }
  HeadStrides whole() const { return {tokens * width(), dim, width()}; }
  template <class P>
  P* part(P* data, int64_t index, DType dtype) const {
    using Byte = std::conditional_t<std::is_const_v<P>, const char, char>;
    return static_cast<Byte*>(data) + index * width() * static_cast<int64_t>(size_of(dtype));
  }
};

/// Products of queries x keys x dim, and of queries x keys x value_dim.
void note_products(const AttentionProblem& p, int with_dim, int with_value_dim) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  backend::note_flops(2.0 * real(p.batch) * real(p.heads) * real(p.queries) * real(p.keys) *
                      (with_dim * real(p.dim) + with_value_dim * real(p.value_dim)));
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                                    const AttentionOptions& options) {
  const backend::OpScope scope("scaled_dot_product_attention");
  // 1 policy, checks, layout
  using autocast::Policy;
  const Tensor q_cast = autocast::input(q_in, Policy::lower),
               k_cast = autocast::input(k_in, Policy::lower),
               v_cast = autocast::input(v_in, Policy::lower);
  Call call{problem_of(q_cast, k_cast, v_cast), {}};
  AttentionProblem& p = call.problem;
  set_options("scaled_dot_product_attention", p, options, options.mask);
  const Tensor q = with_dense_rows(q_cast), k = with_dense_rows(k_cast),
               v = with_dense_rows(v_cast);

  // 2 outputs
  Tensor out = like_heads(q, p.queries, p.value_dim);
  Tensor log_sum = log_sums(p, q);

  // 3 run
  kernels::AttentionForwardArgs a{};
  a.problem = p;
  a.q = q.raw();
  a.k = k.raw();
  a.v = v.raw();
  a.q_strides = strides_of(q);
  a.k_strides = strides_of(k);
  a.v_strides = strides_of(v);
  a.out = out.mutable_raw();
  a.out_strides = strides_of(out);
  a.log_sum = log_sum.mutable_raw();
  note_products(p, 1, 1);
  kernels::attention_forward(q.device().type, a);
  if (!autograd::will_record({q_cast, k_cast, v_cast})) return out;

  // 4 the way back
  using autograd::Saved;
  if (options.mask.defined()) call.mask = Saved(options.mask);
  return autograd::record("scaled_dot_product_attention", {q_cast, k_cast, v_cast}, out,
                          [q = Saved(q), k = Saved(k), v = Saved(v), out = Saved(out), log_sum,
                           call](const Tensor& grad_in, const autograd::Needs&) {
                            const Tensor grad = with_dense_rows(grad_in);
                            if (call.mask)
                              call.mask.get();  // throws when the mask was written since
                            const AttentionProblem& problem = call.problem;
                            Tensor grad_q = like_heads(*q, problem.queries, problem.dim);
                            Tensor grad_k = like_heads(*k, problem.keys, problem.dim);
                            Tensor grad_v = like_heads(*v, problem.keys, problem.value_dim);
                            kernels::AttentionBackwardArgs b{};
                            b.problem = problem;
                            b.q = q->raw();
                            b.k = k->raw();
                            b.v = v->raw();
                            b.out = out->raw();
                            b.grad = grad.raw();
                            b.log_sum = log_sum.raw();
                            b.q_strides = strides_of(*q);
                            b.k_strides = strides_of(*k);
                            b.v_strides = strides_of(*v);
                            b.out_strides = strides_of(*out);
                            b.grad_strides = strides_of(grad);
                            b.grad_q = grad_q.mutable_raw();
                            b.grad_k = grad_k.mutable_raw();
                            b.grad_v = grad_v.mutable_raw();
                            b.grad_q_strides = strides_of(grad_q);
                            b.grad_k_strides = strides_of(grad_k);
                            b.grad_v_strides = strides_of(grad_v);
                            note_products(b.problem, 3, 2);
                            kernels::attention_backward(q->device().type, b);
                            return autograd::GradList{grad_q, grad_k, grad_v};
                          });
}

Tensor attention_packed(const Tensor& qkv_in, int64_t heads, const AttentionOptions& options) {
  const backend::OpScope scope("attention_packed");
  // 1 policy, checks, layout
  const Tensor qkv = autocast::input(qkv_in, autocast::Policy::lower);
  check_one_floating_dtype("attention_packed", {{"qkv", qkv}});
  if (heads < 1 || qkv.rank() != 3 || qkv.size(2) % (3 * heads) != 0)
    throw ShapeError("attention_packed: qkv must be (B, T, 3 * " + std::to_string(heads) +
                     " heads * D); got " + to_string(qkv.shape()));
  const Tensor rows = qkv.contiguous();
  const Packed packed{qkv.size(1), heads, qkv.size(2) / (3 * heads)};
  Call call;
  AttentionProblem& p = call.problem;
  p.batch = qkv.size(0);
  p.heads = heads;
  p.queries = p.keys = packed.tokens;
  p.dim = p.value_dim = packed.dim;
  p.dtype = qkv.dtype();
  p.wide_dtype = wide_dtype(qkv.dtype());
  set_options("attention_packed", p, options, options.mask);

  // 2 outputs
  Tensor out = Tensor::empty({p.batch, packed.tokens, packed.width()},
                             {.dtype = qkv.dtype(), .device = qkv.device()});
  Tensor log_sum = log_sums(p, qkv);

  // 3 run
  kernels::AttentionForwardArgs a{};
  a.problem = p;
  a.q = packed.part(rows.raw(), 0, p.dtype);
  a.k = packed.part(rows.raw(), 1, p.dtype);
  a.v = packed.part(rows.raw(), 2, p.dtype);
  a.q_strides = a.k_strides = a.v_strides = packed.parts();
  a.out = out.mutable_raw();
  a.out_strides = packed.whole();
  a.log_sum = log_sum.mutable_raw();
  note_products(p, 1, 1);
  kernels::attention_forward(qkv.device().type, a);
  if (!autograd::will_record({qkv})) return out;

  // 4 the way back
  using autograd::Saved;
  if (options.mask.defined()) call.mask = Saved(options.mask);
  return autograd::record("attention_packed", {qkv}, out,
                          [rows = Saved(rows), out = Saved(out), log_sum, call, packed](
                              const Tensor& grad_in, const autograd::Needs&) {
                            const Tensor grad = grad_in.contiguous();
                            if (call.mask)
                              call.mask.get();  // throws when the mask was written since
                            const DType dtype = call.problem.dtype;
                            Tensor grad_rows = empty_like(*rows);
                            void* to = grad_rows.mutable_raw();
                            kernels::AttentionBackwardArgs b{};
                            b.problem = call.problem;
                            b.q = packed.part(rows->raw(), 0, dtype);
                            b.k = packed.part(rows->raw(), 1, dtype);
                            b.v = packed.part(rows->raw(), 2, dtype);
                            b.out = out->raw();
                            b.grad = grad.raw();
                            b.log_sum = log_sum.raw();
                            b.q_strides = b.k_strides = b.v_strides = packed.parts();
                            b.out_strides = b.grad_strides = packed.whole();
                            b.grad_q = packed.part(to, 0, dtype);
                            b.grad_k = packed.part(to, 1, dtype);
                            b.grad_v = packed.part(to, 2, dtype);
                            b.grad_q_strides = b.grad_k_strides = b.grad_v_strides = packed.parts();
                            note_products(b.problem, 3, 2);
                            kernels::attention_backward(rows->device().type, b);
                            return autograd::GradList{grad_rows};
                          });
}

}  // namespace sing::ops
