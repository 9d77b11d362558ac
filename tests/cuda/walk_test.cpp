// The walk of element-wise kernels: its arithmetic, which runs here as plain functions, and every
// way an operand can lie, against the CPU bit for bit.
#include "kernels/cuda/walk.h"

#include <gtest/gtest.h>

#include <vector>

#include "sing/core/random.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/compare.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

TEST(CudaWalk, DividerIsDivision) {
  for (const int64_t divisor : {1, 2, 3, 5, 6, 7, 8, 9, 641, 1000, 65535, 65536, 65537, 715827883,
                                (1 << 30) - 1, 1 << 30, (1 << 30) + 1, INT32_MAX}) {
    const cuda::Divider divider = cuda::divider_of(divisor);
    for (int64_t multiple = 0; multiple < INT32_MAX;
         multiple += std::max<int64_t>(divisor, INT32_MAX / 50))
      for (const int64_t n : {multiple / divisor * divisor, multiple / divisor * divisor - 1,
                              multiple, int64_t{INT32_MAX}})
        if (n >= 0) {
          ASSERT_EQ(divider.quotient(static_cast<uint32_t>(n)), n / divisor)
              << n << " / " << divisor;
        }
  }
}

/// The offsets of all elements, as (operand 0, operand 1, ...) for each.
template <int K>
std::vector<std::array<int64_t, K>> elements(const kernels::Walk<K>& walk, int64_t pack,
                                             int64_t limit, int64_t* pieces) {
  std::vector<std::array<int64_t, K>> list;
  *pieces = 0;
  cuda::for_each_piece<K>(
      walk, pack,
      [&](const cuda::UnitWalk<K>& units, const std::array<int64_t, K>& offsets) {
        ++*pieces;
        EXPECT_LE(units.units, limit);
        for (uint32_t unit = 0; unit < units.units; ++unit) {
          const cuda::Offsets<K> at = cuda::offsets_of(units, unit);
          const uint32_t count = unit + 1 == units.units ? units.last : static_cast<uint32_t>(pack);
          for (uint32_t i = 0; i < count; ++i) {
            std::array<int64_t, K> place;
            for (size_t k = 0; k < K; ++k)
              place[k] =
                  offsets[k] + at.of[k] + i * walk.strides[k][static_cast<size_t>(walk.rank) - 1];
            list.push_back(place);
          }
        }
      },
      {}, limit);
  return list;
}

TEST(CudaWalk, PiecesCoverEachElementOnceAndInOrder) {
  kernels::Walk<2> walk;
  walk.rank = 3;
  walk.dims = {5, 3, 8};
  walk.strides[0] = {24, 8, 1};
  walk.strides[1] = {0, 100, 1};
  std::vector<std::array<int64_t, 2>> wanted;
  for (int64_t a = 0; a < 5; ++a)
    for (int64_t b = 0; b < 3; ++b)
      for (int64_t c = 0; c < 8; ++c) wanted.push_back({a * 24 + b * 8 + c, b * 100 + c});
  for (const int64_t pack : {1, 2, 4, 8})
    for (const int64_t limit : {1, 2, 7, 30, 1000}) {
      int64_t pieces = 0;
      EXPECT_EQ(elements(walk, pack, limit, &pieces), wanted) << pack << ", " << limit;
      EXPECT_EQ(pieces == 1, limit * pack >= 120);
    }
}

TEST(CudaWalk, TailOfADenseWalkIsShort) {
  kernels::Walk<1> walk;
  walk.dims[0] = 13;
  walk.strides[0][0] = 1;
  for (const int64_t limit : {1, 2, 3, 100}) {
    int64_t pieces = 0;
    const auto list = elements(walk, 4, limit, &pieces);
    ASSERT_EQ(list.size(), 13u);
    for (int64_t i = 0; i < 13; ++i) EXPECT_EQ(list[static_cast<size_t>(i)][0], i);
  }
  walk.dims[0] = 0;
  int64_t pieces = 0;
  EXPECT_TRUE(elements(walk, 4, 100, &pieces).empty());
  EXPECT_EQ(pieces, 0);
}

TEST(CudaWalk, PacksNeedAlignedDenseRowsOrScalars) {
  kernels::Walk<2> walk;
  walk.rank = 2;
  walk.dims = {3, 8};
  walk.strides[0] = {8, 1};
  const auto packs = [&](std::array<int64_t, 2> strides, int64_t row = 8, bool aligned = true) {
    walk.strides[1] = {strides[0], strides[1]};
    walk.dims[1] = row;
    return cuda::walks_in_packs<2>(walk, 4, {true, aligned});
  };
  EXPECT_TRUE(packs({8, 1}));
  EXPECT_TRUE(packs({0, 1}));            // a row
  EXPECT_TRUE(packs({1, 0}));            // a column
  EXPECT_TRUE(packs({1, 0}, 8, false));  // read one by one
  EXPECT_TRUE(packs({12, 1}));           // part of a wider matrix
  EXPECT_FALSE(packs({8, 1}, 8, false));
  EXPECT_FALSE(packs({9, 1}));
  EXPECT_FALSE(packs({1, 3}));
  EXPECT_FALSE(packs({8, 1}, 6));
  walk.strides[0] = {1, 3};
  EXPECT_FALSE(packs({8, 1}));
}

/// Small whole numbers, exact in every dtype.
Tensor numbers(const Shape& shape, DType dtype, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random_below({seed, Purpose::test, 0, 0}, i, 15)) - 7;
  return Tensor::from(values, shape).to(dtype);
}

struct Layout {
  const char* name;
  Tensor (*view)(const Tensor&);
};

TEST(CudaWalk, EveryLayoutGivesTheNumbersOfTheCpu) {
  const Layout layouts[] = {
      {"dense", [](const Tensor& x) { return x; }},
      {"unaligned", [](const Tensor& x) { return x.narrow(2, 1, 15).narrow(1, 0, 5); }},
      {"wide rows", [](const Tensor& x) { return x.narrow(2, 0, 8); }},
      {"transposed", [](const Tensor& x) { return x.transpose(1, 2); }},
      {"row", [](const Tensor& x) { return x.narrow(0, 0, 1).narrow(1, 0, 1); }},
      {"column", [](const Tensor& x) { return x.narrow(2, 0, 1); }},
      {"scalar", [](const Tensor& x) { return x.narrow(0, 2, 1).narrow(1, 1, 1).narrow(2, 3, 1); }},
      {"middle", [](const Tensor& x) { return x.narrow(0, 1, 1).narrow(2, 1, 1); }},
  };
  for (const DType dtype : {DType::f32, DType::bf16, DType::i32, DType::i64}) {
    const Tensor a = numbers({3, 16, 16}, dtype, 1), b = numbers({3, 16, 16}, dtype, 2);
    const Tensor a_there = a.to(kCuda), b_there = b.to(kCuda);
    for (const Layout& first : layouts)
      for (const Layout& second : layouts) {
        const Tensor x = first.view(a), y = second.view(b);
        bool fits = true;
        for (int d = 0; d < 3; ++d)
          fits = fits && (x.size(d) == y.size(d) || x.size(d) == 1 || y.size(d) == 1);
        if (!fits) continue;
        const Tensor x_there = first.view(a_there), y_there = second.view(b_there);
        const auto expect_equal = [&](const Tensor& got, const Tensor& wanted, const char* op) {
          EXPECT_EQ(got.to(Device{}).to_vector(), wanted.to_vector())
              << op << " of " << name_of(dtype) << ": " << first.name << ", " << second.name;
        };
        expect_equal(ops::sub(x_there, y_there), ops::sub(x, y), "sub");
        expect_equal(ops::mul(x_there, y_there), ops::mul(x, y), "mul");
        expect_equal(ops::maximum(x_there, y_there), ops::maximum(x, y), "maximum");
        expect_equal(ops::lt(x_there, y_there), ops::lt(x, y), "lt");
        expect_equal(ops::where(ops::gt(x_there, y_there), x_there, y_there),
                     ops::where(ops::gt(x, y), x, y), "where");
      }
  }
}

}  // namespace
}  // namespace sing::test
