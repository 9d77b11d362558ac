// Normalisation at the widths that take different paths on the device, and at row counts that make
// a group of threads take several rows.
#include <gtest/gtest.h>

#include "cuda/dense_samples.h"
#include "sing/ops/norm.h"
#include "sing/ops/reshape.h"

namespace sing::test {

TEST(CudaNorm, WidthsOfLayerNorm) {
  OpCase c("layer_norm");
  const auto sample = [&](const char* name, int64_t rows, int64_t cols) {
    c.sample(name, {in("x", {rows, cols}), in("weight", {cols}), in("bias", {cols})},
             [](const Inputs& i) { return ops::layer_norm(i["x"], i["weight"], i["bias"]); });
  };
  sample("a warp", 3, 384);
  sample("three packs of bf16 per lane", 2, 768);
  sample("a whole warp of bf16, a block of f32", 2, 1024);
  sample("a block", 2, 2048 + 8);
  sample("odd and wide", 2, 2049);
  sample("rows that share a warp", 2400, 8);
  expect_dense_samples_close(c);
}

TEST(CudaNorm, WidthsOfLayerNormWithResidual) {
  OpCase c("add_layer_norm");
  const auto sample = [&](const char* name, int64_t rows, int64_t cols) {
    const Shape shape{rows, cols};
    c.sample(name, {in("x", shape), in("branch", shape), in("weight", {cols}), in("bias", {cols})},
             [](const Inputs& i) {
               const auto [sum, y] =
                   ops::add_layer_norm(i["x"], i["branch"], i["weight"], i["bias"]);
               return ops::concat({sum, y}, 0);
             });
  };
  sample("a warp", 3, 384);
  sample("three packs of bf16 per lane", 2, 768);
  sample("a whole warp of bf16, a block of f32", 2, 1024);
  sample("a block", 2, 2048 + 8);
  sample("odd", 3, 33);
  sample("odd and wide", 2, 2049);
  sample("rows that share a warp", 2400, 8);
  expect_dense_samples_close(c);
}

TEST(CudaNorm, WidthsOfRmsNorm) {
  OpCase c("rms_norm");
  for (const int64_t cols : {int64_t{1536}, int64_t{8192 + 32}})
    c.sample(std::to_string(cols), {in("x", {1, cols}), in("weight", {cols})},
             [](const Inputs& i) { return ops::rms_norm(i["x"], i["weight"]); });
  expect_dense_samples_close(c);
}

TEST(CudaNorm, ManyRowsPerWarp) {
  // More than 8448 blocks of four rows: each warp takes four rows, the last one fewer.
  constexpr int64_t kRows = 4 * 8448 + 5;
  std::vector<float> values(static_cast<size_t>(kRows) * 4);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i % 7) - static_cast<float>(i / 4 % 5);
  const Tensor x = Tensor::from(values, {kRows, 4});
  const std::vector<double> wanted = ops::layer_norm(x).to_vector();
  const std::vector<double> got =
      ops::layer_norm(x.to(Device{DeviceType::cuda, 0})).to(Device{}).to_vector();
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], 1e-5) << i;  // a few roundings of numbers near 1
}

}  // namespace sing::test
