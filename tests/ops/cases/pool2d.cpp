#include <algorithm>
#include <limits>

#include "sing/ops/pool.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using ops::Pool2dOptions;

/// y[n, c, oh, ow] = reduce(values inside the window with their places), row-major.
template <class F>
std::vector<double> windows(const Tensor& t, const Pool2dOptions& o, F reduce) {
  const std::vector<double> x = t.to_vector();
  const auto stride = o.stride.value_or(o.kernel);
  const int64_t height = t.size(2), width = t.size(3);
  std::vector<double> y;
  for (int64_t plane = 0; plane < t.size(0) * t.size(1); ++plane)
    for (int64_t h = -o.padding[0]; h + o.kernel[0] <= height + o.padding[0]; h += stride[0])
      for (int64_t w = -o.padding[1]; w + o.kernel[1] <= width + o.padding[1]; w += stride[1]) {
        std::vector<std::array<double, 3>> inside;  // value, row, column
        for (int64_t kh = 0; kh < o.kernel[0]; ++kh)
          for (int64_t kw = 0; kw < o.kernel[1]; ++kw)
            if (h + kh >= 0 && h + kh < height && w + kw >= 0 && w + kw < width)
              inside.push_back({x[static_cast<size_t>((plane * height + h + kh) * width + w + kw)],
                                static_cast<double>(kh), static_cast<double>(kw)});
        y.push_back(reduce(inside));
      }
  return y;
}
using Inside = std::vector<std::array<double, 3>>;

struct Size {
  const char* name;
  Shape x;
  Pool2dOptions o;
};
const std::vector<Size>& sizes() {
  static const std::vector<Size> all{
      {"2x2", {2, 3, 4, 6}, {.kernel = {2, 2}}},
      {"overlapping", {2, 2, 7, 6}, {.kernel = {3, 3}, .stride = {{2, 2}}, .padding = {1, 1}}},
      {"uneven", {1, 5, 6, 7}, {.kernel = {3, 2}, .stride = {{1, 3}}, .padding = {0, 1}}},
      {"many channels", {2, 37, 5, 4}, {.kernel = {2, 3}, .stride = {{2, 1}}, .padding = {1, 1}}},
      {"no image", {0, 3, 4, 4}, {.kernel = {2, 2}}},
      {"gaps", {2, 16, 7, 7}, {.kernel = {2, 2}, .stride = {{3, 3}}}},
  };
  return all;
}

}  // namespace

SING_OP_CASE(max_pool2d) {
  c.covers({"pool2d_fwd", "pool2d_bwd"});
  for (const Size& s : sizes())
    c.sample(
        s.name, {in("x", s.x, Fill::distinct())},
        [o = s.o](const Inputs& i) { return ops::max_pool2d(i["x"], o); },
        [o = s.o](const Inputs& i) {
          return windows(i["x"], o, [](const Inside& inside) {
            return (*std::max_element(inside.begin(), inside.end()))[0];
          });
        });
  c.rejects<ShapeError>("x must be (N, C, H, W)", [] {
    ops::max_pool2d(Tensor::zeros({4, 4}), {});
  });
  c.rejects<ShapeError>("padding must be at most half the kernel", [] {
    ops::max_pool2d(Tensor::zeros({1, 1, 4, 4}), {.kernel = {2, 2}, .padding = {2, 2}});
  });
  c.rejects<ShapeError>("a window of 5 does not fit into 4", [] {
    ops::max_pool2d(Tensor::zeros({1, 1, 4, 4}), {.kernel = {5, 1}});
  });
}

SING_OP_CASE(avg_pool2d) {
  c.covers({"pool2d_fwd", "pool2d_bwd"});
  for (const Size& s : sizes()) {
    for (const bool count_pad : {true, false})
      c.sample(
          std::string(s.name) + (count_pad ? "" : ", padding not counted"), {in("x", s.x)},
          [o = s.o, count_pad](const Inputs& i) { return ops::avg_pool2d(i["x"], o, count_pad); },
          [o = s.o, count_pad](const Inputs& i) {
            return windows(i["x"], o, [&](const Inside& inside) {
              double sum = 0;
              for (const auto& place : inside) sum += place[0];
              return sum / static_cast<double>(count_pad ? o.kernel[0] * o.kernel[1]
                                                         : static_cast<int64_t>(inside.size()));
            });
          });
  }
  c.rejects<ShapeError>("stride and dilation of at least 1", [] {
    ops::avg_pool2d(Tensor::zeros({1, 1, 4, 4}), {.kernel = {2, 2}, .stride = {{0, 1}}});
  });
}

SING_OP_CASE(global_avg_pool) {
  c.covers({"pool2d_fwd", "pool2d_bwd"});
  for (const Shape& shape : {Shape{2, 3, 4, 6}, Shape{2, 40, 3, 3}, Shape{3, 5, 1, 1}})
    c.sample(
        to_string(shape), {in("x", shape)},
        [](const Inputs& i) { return ops::global_avg_pool(i["x"]); },
        [](const Inputs& i) {
          const std::vector<double> x = i["x"].to_vector();
          const size_t plane = static_cast<size_t>(i["x"].size(2) * i["x"].size(3));
          std::vector<double> y(x.size() / plane);
          for (size_t k = 0; k < x.size(); ++k) y[k / plane] += x[k] / static_cast<double>(plane);
          return y;
        });
  c.rejects<ShapeError>("wanted kernel", [] { ops::global_avg_pool(Tensor::zeros({2, 3, 0, 4})); });
}

SING_OP_CASE(blur_pool) {
  c.covers({"pool2d_fwd", "pool2d_bwd"});
  const auto sample = [&](const Shape& shape, int64_t stride) {
    const Pool2dOptions o{.kernel = {3, 3}, .stride = {{stride, stride}}, .padding = {1, 1}};
    c.sample(
        to_string(shape) + " stride " + std::to_string(stride), {in("x", shape)},
        [=](const Inputs& i) { return ops::blur_pool(i["x"], stride); },
        [=](const Inputs& i) {
          return windows(i["x"], o, [](const Inside& inside) {
            double sum = 0;
            for (const auto& [value, row, column] : inside)
              sum += value * (row == 1 ? 2 : 1) * (column == 1 ? 2 : 1) / 16;
            return sum;
          });
        });
  };
  sample({2, 3, 4, 6}, 1);
  sample({2, 20, 5, 5}, 2);
  sample({1, 2, 1, 3}, 1);
  sample({0, 2, 4, 3}, 1);
  c.rejects<ShapeError>("stride and dilation of at least 1", [] {
    ops::blur_pool(Tensor::zeros({1, 1, 4, 4}), 0);
  });
}

}  // namespace sing::test
