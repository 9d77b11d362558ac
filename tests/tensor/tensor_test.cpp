#include "sing/tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

#include "sing/core/error.h"

namespace sing {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape);
}

TEST(Tensor, ViewsShareStorage) {
  Tensor t = counting({2, 3, 4});
  Tensor row = t.narrow(1, 1, 1).squeeze(1);
  EXPECT_EQ(row.to_vector(), (std::vector<double>{4, 5, 6, 7, 16, 17, 18, 19}));
  row.fill(-1);
  EXPECT_EQ(t.to_vector()[4], -1);
  EXPECT_EQ(t.to_vector()[8], 8);
  EXPECT_GT(t.storage()->version(), 0u);
}

TEST(Tensor, PermuteThenContiguous) {
  const Tensor t = counting({2, 3}).transpose(0, 1);
  EXPECT_FALSE(t.is_contiguous());
  EXPECT_EQ(t.to_vector(), (std::vector<double>{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(t.contiguous().is_contiguous());
}

TEST(Tensor, ViewOfStridedTensor) {
  const Tensor t = counting({4, 6}).narrow(0, 1, 2);  // rows 1, 2: still one block
  EXPECT_EQ(t.view({2, 2, 3}).to_vector()[3], 9);
  const Tensor columns = counting({4, 6}).narrow(1, 0, 4);  // rows with gaps
  EXPECT_EQ(columns.view({4, 2, 2}).to_vector()[4], 6);
  EXPECT_EQ(columns.view({2, 2, 1, 4}).to_vector()[8], 12);
  EXPECT_THROW(columns.view({16}), ShapeError);
  EXPECT_THROW(columns.view({5, 3}), ShapeError);
}

TEST(Tensor, ExpandHasStrideZero) {
  const Tensor t = counting({3, 1}).expand({2, 3, 2});
  EXPECT_EQ(t.to_vector(), (std::vector<double>{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2}));
  EXPECT_THROW(counting({3}).expand({4}), ShapeError);
}

TEST(Tensor, ChannelsLast) {
  const Tensor t = counting({2, 3, 2, 2});
  const Tensor nhwc = t.contiguous(MemoryFormat::channels_last);
  EXPECT_TRUE(nhwc.is_channels_last());
  EXPECT_FALSE(nhwc.is_contiguous());
  EXPECT_EQ(nhwc.to_vector(), t.to_vector());
  EXPECT_TRUE(empty_like(nhwc).is_channels_last());
}

TEST(Tensor, ConvertsBetweenAllDtypes) {
  for (DType from : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32,
                     DType::u8, DType::boolean}) {
    for (DType to : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32,
                     DType::u8, DType::boolean}) {
      const Tensor t = Tensor::full({70000}, 1, {.dtype = from}).to(to);
      EXPECT_EQ(t.dtype(), to);
      EXPECT_EQ(t.to_vector()[69999], 1) << name_of(from) << " " << name_of(to);
    }
  }
  const int64_t big = (int64_t{1} << 60) + 1;
  Tensor t = Tensor::from(std::vector<int64_t>{big}, {1});
  Tensor copy = Tensor::zeros({1}, {.dtype = DType::i64});
  copy.copy_from(t);
  EXPECT_EQ(copy.data<int64_t>()[0], big) << "integers keep all their bits";
}

TEST(Tensor, RefusesWrongUse) {
  EXPECT_THROW(counting({2}).data<double>(), DTypeError);
  EXPECT_THROW(Tensor().shape(), InternalError);
  EXPECT_THROW(counting({2, 3}).narrow(1, 2, 2), ShapeError);
  EXPECT_THROW(counting({2, 3}).permute({0, 0}), ShapeError);
  EXPECT_THROW(Tensor::from(std::vector<float>{1, 2}, {3}), ShapeError);
}

}  // namespace
}  // namespace sing
