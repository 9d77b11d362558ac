// Rows chosen by an index, beyond what the op cases reach: long lists, many equal indices, bad
// ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/embedding.h"
#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/ops/embedding.h"
#include "sing/ops/gather.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

uint64_t below(uint64_t n, uint64_t seed, size_t i) {
  return random_below({seed, Purpose::test, 0, 0}, i, n);
}

/// Small whole numbers: their sums are exact in any order.
Tensor numbers(const Shape& shape, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(below(15, seed, i)) - 7;
  return Tensor::from(values, shape);
}

struct Rows {
  int64_t n, rows, width;
};

/// One, two and three digits of the sort; pieces, tiles and blocks of columns with and without
/// remainders; few rows that go over many pieces.
class CudaAddRows : public ::testing::TestWithParam<Rows> {};

TEST_P(CudaAddRows, SumsAreThoseOfTheCpu) {
  const auto [n, rows, width] = GetParam();
  std::vector<int64_t> picks(static_cast<size_t>(n));
  for (size_t i = 0; i < picks.size(); ++i)
    // Half of them fall on a few rows.
    picks[i] = static_cast<int64_t>(i % 2 ? below(static_cast<uint64_t>(rows), 1, i)
                                          : static_cast<uint64_t>(rows - 1) -
                                                below(2, 2, i) % static_cast<uint64_t>(rows));
  const Tensor index = Tensor::from(picks, {n}), grad = numbers({n, width}, 3);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<std::vector<double>> results;
    for (const Device device : {Device{}, kCuda}) {
      Tensor weight = Tensor::zeros({rows, width}, {.dtype = dtype}).to(device);
      weight.set_requires_grad(true);
      Tensor y = ops::embedding(weight, index.to(device), rows > 2 ? 1 : -1);
      y.backward(grad.to(dtype).to(device));
      results.push_back(weight.grad().to(Device{}).to_vector());
    }
    EXPECT_EQ(results[1], results[0]) << name_of(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, CudaAddRows,
                         ::testing::Values(Rows{1, 1, 1}, Rows{64, 2, 5}, Rows{65, 1, 8},
                                           Rows{200, 3, 516}, Rows{2048, 256, 4},
                                           Rows{2049, 255, 3}, Rows{5000, 300, 8},
                                           Rows{9001, 600, 2}, Rows{700, 70000, 1}));

TEST(CudaAddRows, SelectsAlongAnyDimension) {
  std::vector<int32_t> picks(150);
  for (size_t i = 0; i < picks.size(); ++i) picks[i] = static_cast<int32_t>(below(9, 5, i));
  const Tensor index = Tensor::from(picks, {150});
  for (int dim = 0; dim < 3; ++dim) {
    const Shape shape({9, 9, 9});
    std::vector<std::vector<double>> results;
    for (const Device device : {Device{}, kCuda}) {
      Tensor x = numbers(shape, 6).to(device);
      x.set_requires_grad(true);
      Tensor y = ops::index_select(x, dim, index.to(device));
      y.backward(numbers(shape.with(dim, 150), 7).to(device));
      results.push_back(y.to(Device{}).to_vector());
      results.push_back(x.grad().to(Device{}).to_vector());
    }
    EXPECT_EQ(results[2], results[0]) << dim;
    EXPECT_EQ(results[3], results[1]) << dim;
  }
}

TEST(CudaIndex, OutOfRangeIsReportedOnceAndDoesNoHarm) {
  const Tensor weight = numbers({4, 3}, 1).to(kCuda), grad = numbers({3, 3}, 2).to(kCuda);
  const std::vector<double> rows = grad.to(Device{}).to_vector();
  for (const int64_t bad : {int64_t{4}, int64_t{-1}, int64_t{1} << 40})
    for (const bool embeds : {true, false}) {
      Tensor leaf = weight.clone();
      leaf.set_requires_grad(true);
      const Tensor index = Tensor::from(std::vector<int64_t>{0, bad, 3}, {3}).to(kCuda);
      Tensor y = embeds ? ops::embedding(leaf, index) : ops::index_select(leaf, 0, index);
      y.backward(grad);  // is queued before anyone looks
      try {
        y.to(Device{}).to_vector();
        ADD_FAILURE() << bad << " was accepted";
      } catch (const DataError& error) {
        EXPECT_EQ(error.code(), "E0305");
        EXPECT_NE(std::string(error.what()).find(std::to_string(bad)), std::string::npos)
            << error.what();
      }
      // The good ones got their rows, the others nothing.
      std::vector<double> wanted(12, 0.0);
      std::copy_n(rows.begin(), 3, wanted.begin());
      std::copy_n(rows.begin() + 6, 3, wanted.begin() + 9);
      EXPECT_EQ(leaf.grad().to(Device{}).to_vector(), wanted) << bad;
    }
  const Tensor fine = Tensor::from(std::vector<int64_t>{3}, {1}).to(kCuda);
  EXPECT_EQ(ops::embedding(weight, fine).to(Device{}).to_vector().size(), 3u);
}

TEST(CudaIndex, TooManyRowsAreRefused) {
  kernels::EmbeddingBwdArgs args{};
  args.dtype = args.grad_dtype = DType::f32;
  args.index_dtype = DType::i64;
  args.width = 1;
  args.padding_idx = -1;
  args.n = int64_t{1} << 31;
  args.rows = 1;
  EXPECT_THROW(kernels::embedding_bwd(DeviceType::cuda, args), NotImplementedError);
  std::swap(args.n, args.rows);
  EXPECT_THROW(kernels::embedding_bwd(DeviceType::cuda, args), NotImplementedError);
}

}  // namespace
}  // namespace sing::test
