#include "sing/ops/attention.h"

#include <cmath>

#include "support/op_case.h"

namespace sing::test {
namespace {

using ops::AttentionOptions;

OpFunction attend(bool causal = false, double dropout = 0, std::optional<double> scale = {}) {
  return [=](const Inputs& i) {
    AttentionOptions o;
    o.causal = causal;
    o.dropout = dropout;
    o.scale = scale;
    o.key = {7, Purpose::dropout, 3, 11};
    return ops::scaled_dot_product_attention(i["q"], i["k"], i["v"], o);
  };
}

OpFunction attend_masked(bool causal = false) {
  return [=](const Inputs& i) {
    AttentionOptions o;
    o.causal = causal;
    o.mask = i["mask"];
    return ops::scaled_dot_product_attention(i["q"], i["k"], i["v"], o);
  };
}

/// The plain formula for dense (B, H, T, D) without options.
std::vector<double> formula(const Inputs& in) {
  const Tensor &qt = in["q"], &vt = in["v"];
  const std::vector<double> q = qt.to_vector(), k = in["k"].to_vector(), v = vt.to_vector();
  const size_t heads = static_cast<size_t>(qt.size(0) * qt.size(1)),
               tq = static_cast<size_t>(qt.size(2)), tk = static_cast<size_t>(vt.size(2)),
               dim = static_cast<size_t>(qt.size(3)), dv = static_cast<size_t>(vt.size(3));
  std::vector<double> out(heads * tq * dv), w(tk);
  for (size_t h = 0; h < heads; ++h)
    for (size_t i = 0; i < tq; ++i) {
      double total = 0;
      for (size_t j = 0; j < tk; ++j) {
        double s = 0;
        for (size_t d = 0; d < dim; ++d) s += q[(h * tq + i) * dim + d] * k[(h * tk + j) * dim + d];
        total += w[j] = std::exp(s / std::sqrt(static_cast<double>(dim)));
      }
      for (size_t j = 0; j < tk; ++j)
        for (size_t d = 0; d < dv; ++d)
          out[(h * tq + i) * dv + d] += w[j] / total * v[(h * tk + j) * dv + d];
    }
  return out;
}

std::vector<InputSpec> qkv(int64_t b, int64_t h, int64_t tq, int64_t tk, int64_t d, int64_t dv) {
  return {in("q", {b, h, tq, d}), in("k", {b, h, tk, d}), in("v", {b, h, tk, dv})};
}
std::vector<InputSpec> with(std::vector<InputSpec> inputs, InputSpec mask) {
  inputs.push_back(std::move(mask));
  return inputs;
}

}  // namespace

SING_OP_CASE(attention) {
  c.covers({"attention_forward", "attention_backward"});
  // Scores are sums of D products, and gradients pass three products and the softmax between them.
  c.terms(1024);
  c.sample("small", qkv(2, 2, 5, 5, 4, 4), attend(), formula);
  c.sample("odd", qkv(1, 3, 13, 7, 5, 3), attend(), formula);
  c.sample("longer than a tile", qkv(1, 2, 37, 50, 17, 33), attend(), formula);
  c.sample("one", qkv(1, 1, 1, 1, 1, 1), attend(), formula);
  c.sample("causal", qkv(2, 1, 14, 14, 4, 4), attend(true));
  c.sample("causal, fewer keys", qkv(1, 1, 7, 3, 4, 4), attend(true));
  c.sample("scale", qkv(1, 2, 5, 4, 3, 3), attend(false, 0, 0.25));
  c.sample("dropout", qkv(2, 2, 13, 9, 4, 4), attend(false, 0.25));
  c.sample("causal dropout", qkv(1, 2, 18, 18, 3, 3), attend(true, 0.5));
  c.sample("key padding",
           with(qkv(2, 2, 5, 4, 4, 4),
                in("mask", {2, 4}, Fill::values({1, 1, 0, 1, 1, 0, 0, 0})).keep(DType::boolean)),
           attend_masked());
  c.sample("boolean mask, some rows see nothing",
           with(qkv(2, 1, 3, 4, 4, 4),
                in("mask", {1, 1, 3, 4}, Fill::values({1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1}))
                    .keep(DType::boolean)),
           attend_masked());
  c.sample("additive mask", with(qkv(2, 2, 5, 4, 4, 4), in("mask", {1, 2, 5, 4}).no_grad()),
           attend_masked());
  c.sample("additive mask by key, causal",
           with(qkv(2, 2, 5, 5, 4, 4), in("mask", {2, 1, 1, 5}).no_grad()), attend_masked(true));
  c.sample("no queries", qkv(1, 2, 0, 3, 4, 4), attend());
  c.sample("no keys", qkv(1, 2, 3, 0, 4, 4), attend());
  c.sample("no batch", qkv(0, 2, 3, 3, 4, 4), attend());
  const auto bad = [](Shape q, Shape k, Shape v, AttentionOptions o = {}) {
    return [=] {
      ops::scaled_dot_product_attention(Tensor::zeros(q), Tensor::zeros(k), Tensor::zeros(v), o);
    };
  };
  c.rejects<ShapeError>("wanted q (B, H, Tq, D)", bad({2, 3, 4}, {2, 3, 4}, {2, 3, 4}));
  c.rejects<ShapeError>("wanted q (B, H, Tq, D)", bad({2, 2, 3, 4}, {2, 2, 3, 5}, {2, 2, 3, 4}));
  c.rejects<ShapeError>("wanted q (B, H, Tq, D)", bad({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 5, 4}));
  c.rejects<ShapeError>("wanted q (B, H, Tq, D)", bad({2, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 4}));
  c.rejects<ShapeError>("wanted q (B, H, Tq, D)", bad({2, 2, 3, 4}, {2, 1, 3, 4}, {2, 1, 3, 4}));
  c.rejects<ShapeError>("mask must be (2, 3) or broadcast to (2, 2, 3, 3); got (2, 4)",
                        bad({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 3, 4},
                            {.mask = Tensor::zeros({2, 4}, {.dtype = DType::boolean})}));
  c.rejects<ShapeError>("mask must be (2, 3)", bad({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 3, 4},
                                                   {.mask = Tensor::zeros({2, 3, 3, 3})}));
  c.rejects<DTypeError>("mask must be boolean or floating",
                        bad({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 3, 4},
                            {.mask = Tensor::zeros({2, 3}, {.dtype = DType::i64})}));
  c.rejects<ConfigError>("dropout must be at least 0 and below 1",
                         bad({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 3, 4}, {.dropout = 1.0}));
  c.rejects<DTypeError>("k must be f32 like q", [] {
    const Tensor x = Tensor::zeros({1, 1, 2, 2});
    ops::scaled_dot_product_attention(x, x.to(DType::f64), x);
  });
}

SING_OP_CASE(attention_packed) {
  c.covers({"attention_forward", "attention_backward"});
  c.terms(1024);  // as attention
  const auto op = [](int64_t heads, AttentionOptions o = {}) {
    o.key = {7, Purpose::dropout, 3, 11};
    return [=](const Inputs& i) { return ops::attention_packed(i["qkv"], heads, o); };
  };
  c.sample("small", {in("qkv", {2, 5, 24})}, op(2));
  c.sample("as in the quickstart", {in("qkv", {1, 36, 96})}, op(2));
  c.sample("one head", {in("qkv", {2, 13, 51})}, op(1));
  c.sample("causal", {in("qkv", {2, 14, 24})}, op(4, {.causal = true}));
  c.sample("dropout", {in("qkv", {2, 9, 24})}, op(2, {.dropout = 0.3}));
  c.sample("several blocks of queries", {in("qkv", {1, 270, 6})}, op(1));
  c.sample("no tokens", {in("qkv", {2, 0, 24})}, op(2));
  c.rejects<ShapeError>("attention_packed: qkv must be (B, T, 3 * 2 heads * D); got (2, 5, 22)",
                        [] {
                          ops::attention_packed(Tensor::zeros({2, 5, 22}), 2);
                        });
  c.rejects<ShapeError>("qkv must be", [] { ops::attention_packed(Tensor::zeros({2, 24}), 2); });
  c.rejects<ShapeError>("qkv must be", [] { ops::attention_packed(Tensor::zeros({2, 5, 24}), 0); });
}

}  // namespace sing::test
