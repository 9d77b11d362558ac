#include "sing/ops/conv.h"

#include "support/op_case.h"

namespace sing::test {
namespace {

/// The definition, over row-major NCHW and OIHW numbers.
std::vector<double> plain_conv(const Inputs& in, const ops::Conv2dOptions& o, bool has_bias) {
  const Shape& xs = in["x"].shape();
  const Shape& ws = in["weight"].shape();
  const std::vector<double> x = in["x"].to_vector(), w = in["weight"].to_vector();
  const std::vector<double> bias =
      has_bias ? in["bias"].to_vector() : std::vector<double>(static_cast<size_t>(ws[0]));
  const auto out_size = [&](int side) {
    const size_t s = static_cast<size_t>(side);
    return (xs[2 + side] + 2 * o.padding[s] - o.dilation[s] * (ws[2 + side] - 1) - 1) /
               o.stride[s] +
           1;
  };
  std::vector<double> y;
  for (int64_t n = 0; n < xs[0]; ++n)
    for (int64_t out = 0; out < ws[0]; ++out)
      for (int64_t oh = 0; oh < out_size(0); ++oh)
        for (int64_t ow = 0; ow < out_size(1); ++ow) {
          double sum = bias[static_cast<size_t>(out)];
          for (int64_t i = 0; i < ws[1]; ++i)
            for (int64_t kh = 0; kh < ws[2]; ++kh)
              for (int64_t kw = 0; kw < ws[3]; ++kw) {
                const int64_t h = oh * o.stride[0] - o.padding[0] + kh * o.dilation[0];
                const int64_t v = ow * o.stride[1] - o.padding[1] + kw * o.dilation[1];
                if (h < 0 || v < 0 || h >= xs[2] || v >= xs[3]) continue;
                const int64_t channel = out / (ws[0] / o.groups) * ws[1] + i;
                sum += x[static_cast<size_t>(((n * xs[1] + channel) * xs[2] + h) * xs[3] + v)] *
                       w[static_cast<size_t>(((out * ws[1] + i) * ws[2] + kh) * ws[3] + kw)];
              }
          y.push_back(sum);
        }
  return y;
}

}  // namespace

SING_OP_CASE(conv2d) {
  c.covers({"conv2d_fwd", "conv2d_bwd_data", "conv2d_bwd_weight"});
  const auto sample = [&](const char* name, const Shape& x, const Shape& weight, bool has_bias,
                          ops::Conv2dOptions o) {
    std::vector<InputSpec> inputs{in("x", x), in("weight", weight)};
    if (has_bias) inputs.push_back(in("bias", {weight[0]}));
    c.sample(
        name, inputs,
        [=](const Inputs& i) {
          return ops::conv2d(i["x"], i["weight"], has_bias ? i["bias"] : Tensor(), o);
        },
        [=](const Inputs& i) { return plain_conv(i, o, has_bias); });
  };
  sample("3x3", {2, 3, 6, 5}, {4, 3, 3, 3}, true, {.padding = {1, 1}});
  sample("strided", {1, 2, 7, 8}, {3, 2, 3, 2}, false, {.stride = {2, 3}, .padding = {1, 0}});
  sample("dilated", {2, 2, 9, 8}, {2, 2, 3, 3}, true, {.padding = {2, 1}, .dilation = {2, 2}});
  sample("grouped", {2, 4, 5, 5}, {6, 2, 3, 3}, true, {.padding = {1, 1}, .groups = 2});
  sample("depth-wise", {2, 4, 5, 4}, {4, 1, 3, 3}, false, {.padding = {1, 1}, .groups = 4});
  sample("1x1", {3, 5, 2, 3}, {7, 5, 1, 1}, true, {});
  sample("1x1 strided", {2, 16, 4, 4}, {32, 16, 1, 1}, false, {.stride = {2, 2}});
  sample("patches", {2, 1, 8, 8}, {6, 1, 4, 4}, true, {.stride = {4, 4}});
  sample("wide, several chunks", {5, 16, 9, 9}, {32, 16, 3, 3}, true, {.padding = {1, 1}});
  sample("no image", {0, 3, 6, 5}, {4, 3, 3, 3}, true, {.padding = {1, 1}});
  // Sums over 5 * 81 products for the weight of the widest sample.
  c.terms(405);

  const auto call = [](const Shape& x, const Shape& w, const Shape& b, ops::Conv2dOptions o = {}) {
    ops::conv2d(Tensor::zeros(x), Tensor::zeros(w), Tensor::zeros(b), o);
  };
  c.rejects<ShapeError>("x must be (N, C, H, W)", [=] { call({3, 4, 4}, {2, 3, 1, 1}, {2}); });
  c.rejects<ShapeError>("weight must be (O, 3, KH, KW)", [=] {
    call({1, 3, 4, 4}, {2, 4, 1, 1}, {2});
  });
  c.rejects<ShapeError>("bias must be (2)", [=] { call({1, 3, 4, 4}, {2, 3, 1, 1}, {3}); });
  c.rejects<ShapeError>("groups must divide", [=] {
    call({1, 3, 4, 4}, {2, 3, 1, 1}, {2}, {.groups = 2});
  });
  c.rejects<ShapeError>("a window of 5 does not fit into 4", [=] {
    call({1, 3, 4, 4}, {2, 3, 5, 1}, {2});
  });
  c.rejects<ShapeError>("stride and dilation of at least 1", [=] {
    call({1, 3, 4, 4}, {2, 3, 1, 1}, {2}, {.stride = {0, 1}});
  });
  c.rejects<DTypeError>("weight must be f32", [] {
    ops::conv2d(Tensor::zeros({1, 3, 4, 4}), Tensor::zeros({2, 3, 1, 1}, {.dtype = DType::f64}));
  });
}

}  // namespace sing::test
